import assert from "node:assert/strict";
import { test } from "node:test";
import { created, createErrors, updated } from "../testing/strategies.ts";

const group = "rbac.authorization.k8s.io/v1";
const roleRef = { kind: "Role", name: "reader" };

const refused: readonly [kind: string, draft: Record<string, unknown>, errors: string[]][] = [
  ["Role", { rules: [{ verbs: ["get"], apiGroups: [""], resources: ["pods"] }] }, []],
  [
    "Role",
    { rules: [{ verbs: [], apiGroups: [], resources: [] }] },
    [
      "rules[0].verbs: Required value: verbs must contain at least one value",
      "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
      "rules[0].resources: Required value: resource rules must supply at least one resource",
    ],
  ],
  [
    "Role",
    { rules: [{ verbs: ["get"], nonResourceURLs: ["/x"] }] },
    ['rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'],
  ],
  ["ClusterRole", { rules: [{ verbs: ["get"], nonResourceURLs: ["/x"] }] }, []],
  [
    "RoleBinding",
    { roleRef: { kind: "Pod", name: "x" }, subjects: [{ kind: "Robot", name: "r" }] },
    [
      'roleRef.kind: Unsupported value: "Pod": supported values: "Role", "ClusterRole"',
      'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
    ],
  ],
  [
    "ClusterRoleBinding",
    { roleRef: { kind: "ClusterRole", name: "x" }, subjects: [{ kind: "ServiceAccount", name: "r" }] },
    ["subjects[0].namespace: Required value"],
  ],
];
for (const [kind, draft, errors] of refused) {
  test(`creating a ${kind} ${errors[0] ?? ""}`, () =>
    assert.deepEqual(createErrors(`${group}/${kind}`, draft), errors));
}

test("users and groups get the group of their kind", () => {
  const subjects = [
    { kind: "User", name: "a" },
    { kind: "ServiceAccount", name: "b", namespace: "c" },
  ];
  const binding = created(`${group}/RoleBinding`, { roleRef, subjects });
  assert.deepEqual(binding["subjects"], [{ ...subjects[0], apiGroup: "rbac.authorization.k8s.io" }, subjects[1]]);
  assert.deepEqual(binding["roleRef"], { ...roleRef, apiGroup: "rbac.authorization.k8s.io" });
});

test("what a binding grants is settled", () => {
  const { errors } = updated(
    `${group}/RoleBinding`,
    { roleRef },
    (binding) => (binding["roleRef"] = { ...roleRef, name: "writer" }),
  );
  assert.deepEqual(errors, [
    'roleRef: Invalid value: {"kind":"Role","name":"writer","apiGroup":"rbac.authorization.k8s.io"}: cannot change roleRef',
  ]);
});
