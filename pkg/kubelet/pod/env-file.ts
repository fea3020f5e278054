/**
 * Environment files that an init container leaves for others (KEP-3721): a small part of a shell's syntax, in which
 * every value stands between single quotes, may span lines and is taken literally.
 */
import { ContainerConfigError } from "./env-error.ts";

/** The value of one variable, undefined when the file does not set it. @throws ContainerConfigError where it is malformed */
export function variableOf(text: string, key: string): string | undefined {
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const number = i + 1;
    const fail = (what: string) =>
      new ContainerConfigError(`invalid environment variable format at line ${number}: ${what}`);
    const line = lines[i]!.replace(/^[ \t]+/, "");
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [name, rest] = split(line, "=");
    if (rest === undefined) throw fail("missing '='");
    if (name.trim() === "") throw fail("empty variable name");
    if (name !== name.trimEnd()) throw fail("whitespace before '=' is not allowed");
    let value = "";
    if (rest.startsWith("'")) {
      let [part, after] = split(rest.slice(1), "'");
      while (after === undefined) {
        if (++i >= lines.length) throw fail("unterminated single quote");
        value += `${part}\n`;
        [part, after] = split(lines[i]!, "'");
      }
      value += part;
      if (!/^\s*(#|$)/.test(after)) throw fail("unexpected content after the closing quote");
    } else if (!/^(\s|$)/.test(rest)) throw fail("values must be enclosed in single quotes");
    if (name === key) return value;
  }
  return undefined;
}

/** What stands before and after the first separator. */
function split(text: string, separator: string): [before: string, after: string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
