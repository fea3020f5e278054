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

/** Such a word is understood as the name of a field even without its underscores. */
export const isWord = (name: string): boolean => WORDS.has(name);

/** The identifier that stands for a property, or undefined when there is none ("a b"). */
export function escapeFieldName(name: string): string | undefined {
  if (!/^[A-Za-z_.\-/][A-Za-z0-9_.\-/]*$/.test(name)) return undefined;
  if (WORDS.has(name)) return `__${name}__`;
  return name.replaceAll(/__|[.\-/]/g, (part) =>
    part === "__" ? "__underscores__" : part === "." ? "__dot__" : part === "-" ? "__dash__" : "__slash__",
  );
}
