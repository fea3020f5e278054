import type { CustomResourceDefinition, CustomResourceDefinitionNames } from "#pkg/api/types/apiextensions-v1.ts";
import { goQuote } from "#pkg/apimachinery/index.ts";

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
  const conflicts: { reason: string; message: string }[] = [];
  const take = (name: string | undefined, taken: ReadonlySet<string>, reason: string): boolean => {
    if (name === undefined || name === "" || !taken.has(name)) return true;
    conflicts.push({ reason, message: `${goQuote(name)} is already in use` });
    return false;
  };
  const plural = take(names.plural, resources, "PluralConflict");
  const singular = take(names.singular, resources, "SingularConflict");
  const short = (names.shortNames ?? []).filter((name) => !take(name, resources, "ShortNamesConflict"));
  const kind = take(names.kind, kinds, "KindConflict");
  const listKind = take(names.listKind, kinds, "ListKindConflict");
  const accepted: CustomResourceDefinitionNames = {
    plural: plural ? names.plural : (before?.plural ?? ""),
    kind: kind ? names.kind : (before?.kind ?? ""),
    ...optional("singular", singular ? names.singular : before?.singular),
    ...optional("listKind", listKind ? names.listKind : before?.listKind),
    ...(short.length === 0 && names.shortNames !== undefined ? { shortNames: names.shortNames } : {}),
    ...(names.categories === undefined ? {} : { categories: names.categories }),
  };
  const [first] = conflicts;
  return {
    accepted,
    conflict: first && { reason: first.reason, message: conflicts.map(({ message }) => message).join(", ") },
  };
}

function optional<K extends string>(field: K, value: string | undefined): Partial<Record<K, string>> {
  return value === undefined || value === "" ? {} : ({ [field]: value } as Record<K, string>);
}
