import { dump, DUMP_SCHEMA, intYaml11Tag, type ScalarTagDefinition } from "js-yaml";

/** js-yaml's own, whose integers may be BigInts. */
const WRITTEN = DUMP_SCHEMA.withTags(
  DUMP_SCHEMA.tags
    .filter((tag): tag is ScalarTagDefinition => tag.tagName === intYaml11Tag.tagName)
    .map((tag) => ({
      ...tag,
      identify: (data: unknown) => typeof data === "bigint" || tag.identify(data),
      represent: (data: unknown) => (typeof data === "bigint" ? String(data) : tag.represent(data)),
    })),
);

/** YAML with sorted keys, as kubectl and the API server print it. */
export function encodeYaml(value: unknown): string {
  return dump(value, {
    schema: WRITTEN,
    sortKeys: true,
    noRefs: true,
    seqNoIndent: true,
    lineWidth: -1,
    quoteStyle: "double",
    skipInvalid: true,
  });
}
