/** `$(NAME)` references in commands, arguments and environment values: `$$` escapes, unknown names stay as written. */
export function expand(text: string, lookUp: (name: string) => string | undefined): string {
  let result = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== "$" || i + 1 >= text.length) {
      result += text[i];
      continue;
    }
    const next = text[i + 1];
    if (next === "$") {
      result += "$";
      i++;
    } else if (next === "(") {
      const end = text.indexOf(")", i + 2);
      if (end < 0) {
        result += "$(";
        i++;
        continue;
      }
      const name = text.slice(i + 2, end);
      result += lookUp(name) ?? `$(${name})`;
      i = end;
    } else {
      result += `$${next}`;
      i++;
    }
  }
  return result;
}
