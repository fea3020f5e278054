import type { CustomResourceDefinition, CustomResourceDefinitionNames } from "#pkg/api/types/apiextensions-v1.ts";
import { goQuote } from "#pkg/apimachinery/index.ts";
import { joinErrors } from "../admission/attributes.ts";

export interface NamesVerdict {
  readonly accepted: CustomResourceDefinitionNames;
  /** undefined when all names are the definition's own. */
  readonly conflict: { readonly reason: string; readonly message: string } | undefined;
}

/** Which of the names a definition asks for it gets: those no other definition of its group has been given before. */
export function judgeNames(crd: CustomResourceDefinition, others: readonly CustomResourceDefinition[]): NamesVerdict {
  const resources = new Set<string>();
  const kinds = new Set<string>();
  for (const { metadata, spec, status } of others) {
    if (spec.group !== crd.spec.group || metadata.name === crd.metadata.name) continue;
    const { plural, singular, shortNames, kind, listKind } = status?.acceptedNames ?? { plural: "", kind: "" };
    for (const name of [plural, singular, ...(shortNames ?? [])]) if (name) resources.add(name);
    for (const name of [kind, listKind]) if (name) kinds.add(name);
  }
  const { names } = crd.spec;
  const before = crd.status?.acceptedNames;
  let conflict: NamesVerdict["conflict"];
  /** What is asked for if it is free or ours, else what we have. The last conflict is the one to be told. */
  const take = (field: "plural" | "singular" | "kind" | "listKind", taken: ReadonlySet<string>, reason: string) => {
    const name = names[field] ?? "";
    if (name === (before?.[field] ?? "") || !taken.has(name)) return name;
    conflict = { reason, message: inUse(name) };
    return before?.[field] ?? "";
  };
  const plural = take("plural", resources, "PluralConflict");
  const singular = take("singular", resources, "SingularConflict");
  const held = new Set(before?.shortNames);
  const refused = (names.shortNames ?? []).filter((name) => !held.has(name) && resources.has(name));
  if (refused.length > 0) conflict = { reason: "ShortNamesConflict", message: joinErrors(refused.map(inUse)) };
  const shortNames = refused.length > 0 ? before?.shortNames : names.shortNames;
  const kind = take("kind", kinds, "KindConflict");
  const listKind = take("listKind", kinds, "ListKindConflict");
  const accepted: CustomResourceDefinitionNames = {
    plural,
    kind,
    ...optional("singular", singular),
    ...optional("listKind", listKind),
    ...(shortNames === undefined ? {} : { shortNames }),
    ...(names.categories === undefined ? {} : { categories: names.categories }),
  };
  return { accepted, conflict };
}

const inUse = (name: string): string => `${goQuote(name)} is already in use`;

function optional<K extends string>(field: K, value: string): Partial<Record<K, string>> {
  return value === "" ? {} : ({ [field]: value } as Record<K, string>);
}
