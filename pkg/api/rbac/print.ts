import { ageOf } from "../printers/cells.ts";
import type { ClusterRoleBinding, RoleBinding } from "../types/rbac-v1.ts";

/** Rows of RoleBindings and ClusterRoleBindings, which have the same fields. */
export function printBinding(binding: Readonly<RoleBinding | ClusterRoleBinding>, now: number): unknown[] {
  const subjects = binding.subjects ?? [];
  const names = (kind: string) => subjects.filter((subject) => subject.kind === kind).map(({ name }) => name);
  const accounts = subjects.filter(({ kind }) => kind === "ServiceAccount");
  return [
    binding.metadata.name,
    `${binding.roleRef.kind}/${binding.roleRef.name}`,
    ageOf(binding, now),
    names("User").join(", "),
    names("Group").join(", "),
    accounts.map(({ namespace, name }) => `${namespace ?? ""}/${name}`).join(", "),
  ];
}
