/**
 * How properties of objects are named in expressions: what is no identifier is escaped (KEP-2876, "Escaping").
 */
const WORDS = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return var void while".split(
    " ",
  ),
);
const ESCAPES: Readonly<Record<string, string>> = {
  __underscores__: "__",
  __dot__: ".",
  __dash__: "-",
  __slash__: "/",
};

/** The property that an identifier of an expression means. */
export function unescapeFieldName(name: string): string {
  if (!name.includes("__")) return name;
  const word = /^__([a-z]+)__$/.exec(name)?.[1];
  if (word !== undefined && WORDS.has(word)) return word;
  return name.replaceAll(/__(?:underscores|dot|dash|slash)__/g, (escape) => ESCAPES[escape]!);
}
