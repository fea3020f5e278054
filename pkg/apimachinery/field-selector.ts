/** Field selectors, as in `?fieldSelector=metadata.name=x,status.phase!=Running`. Source: apimachinery pkg/fields. */
import { SelectorError } from "./labels.ts";

/** One term of a field selector: what the field must, or must not, be equal to. */
export interface FieldRequirement {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

/** A conjunction of exact comparisons. A field that is absent has the value "". */
export class FieldSelector {
  readonly requirements: readonly FieldRequirement[];

  constructor(requirements: readonly FieldRequirement[]) {
    this.requirements = requirements;
  }
  get empty(): boolean {
    return this.requirements.length === 0;
  }
  matches(valueOf: (field: string) => string | undefined): boolean {
    for (const { field, operator, value } of this.requirements) {
      if (((valueOf(field) ?? "") === value) !== (operator === "=")) return false;
    }
    return true;
  }
  /** The value `field` must have, if the selector asks for exactly one. */
  exactValue(field: string): string | undefined {
    return this.requirements.find((requirement) => requirement.field === field && requirement.operator === "=")?.value;
  }
  toString(): string {
    return this.requirements
      .map(({ field, operator, value }) => `${field}${operator}${escapeFieldValue(value)}`)
      .join(",");
  }
}

/** Escapes what has a meaning in the text form: backslash, comma, equals sign. */
function escapeFieldValue(value: string): string {
  return value.replaceAll(/[\\,=]/g, "\\$&");
}

function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === ",") {
      terms.push(text.slice(start, i));
      start = i + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function unescape(text: string): string {
  let value = "";
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === "\\") {
      const escaped = text[++i] ?? "";
      if (escaped === "" || !"\\,=".includes(escaped)) {
        throw new SelectorError(`invalid field selector: invalid escape sequence: \\${escaped}`);
      }
      value += escaped;
    } else if (character === "," || character === "=") {
      throw new SelectorError(`invalid field selector: unescaped character in value: ${character.codePointAt(0)}`);
    } else value += character;
  }
  return value;
}

/** @throws SelectorError with upstream's message. The empty text selects everything. */
export function parseFieldSelector(text: string): FieldSelector {
  const requirements: FieldRequirement[] = [];
  for (const term of splitTerms(text).sort()) {
    if (term === "") continue;
    const match = /!=|==|=/.exec(term);
    if (match === null) throw new SelectorError(`invalid selector: '${text}'; can't understand '${term}'`);
    const field = term.slice(0, match.index);
    const value = unescape(term.slice(match.index + match[0].length));
    // Nothing compared with nothing selects everything.
    if (field !== "" || value !== "") requirements.push({ field, operator: match[0] === "!=" ? "!=" : "=", value });
  }
  return new FieldSelector(requirements);
}
