import assert from "node:assert/strict";
import { after, test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";

const context = useCluster("admission");
const limit = { timeout: 60_000 };
const suffix = `${Math.random().toString(36).slice(2, 8)}.example.com`;
const names = { validating: `replicas-${suffix}`, mutating: `labels-${suffix}` };

const admission = (kind: string, name: string, spec: object) => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind,
  metadata: { name },
  spec,
});
/** Requests of this file's namespace only: policies belong to the whole cluster. */
const matches = (apiGroup: string, resource: string) => ({
  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": context.cluster.namespace } },
  resourceRules: [
    { apiGroups: [apiGroup], apiVersions: ["v1"], operations: ["CREATE", "UPDATE"], resources: [resource] },
  ],
});

after(async () => {
  const { cluster } = context;
  for (const [policy, name] of Object.entries(names))
    for (const kind of [`${policy}admissionpolicy`, `${policy}admissionpolicybinding`])
      await cluster.kubectl(["delete", kind, name, "--ignore-not-found"]);
});

test("a ValidatingAdmissionPolicy refuses with its own message", limit, async () => {
  const { cluster } = context;
  const expression = "variables.wanted <= 5";
  await cluster.apply([
    admission("ValidatingAdmissionPolicy", names.validating, {
      matchConstraints: matches("apps", "deployments"),
      variables: [{ name: "wanted", expression: "object.spec.replicas" }],
      validations: [{ expression, messageExpression: "'too many: ' + string(variables.wanted)" }],
    }),
    admission("ValidatingAdmissionPolicyBinding", names.validating, {
      policyName: names.validating,
      validationActions: ["Deny"],
    }),
  ]);
  const create = (name: string, replicas: number) =>
    cluster.try(["create", "deployment", name, "--image=nginx:1.14.2", `--replicas=${replicas}`, "--dry-run=server"]);
  const refused = await eventually("the policy counts", async () => {
    const { exitCode, stderr } = await create("many", 6);
    return exitCode === 0 ? undefined : stderr;
  });
  assert.ok(
    refused.includes(
      `deployments.apps "many" is forbidden: ValidatingAdmissionPolicy '${names.validating}' with binding '${names.validating}' denied request: too many: 6`,
    ),
    refused,
  );
  assert.equal((await create("few", 5)).exitCode, 0);
});

test("a MutatingAdmissionPolicy applies its configuration where its conditions match", limit, async () => {
  const { cluster } = context;
  await cluster.apply([
    admission("MutatingAdmissionPolicy", names.mutating, {
      reinvocationPolicy: "Never",
      matchConstraints: matches("", "configmaps"),
      matchConditions: [{ name: "chosen", expression: "object.metadata.name.startsWith('chosen')" }],
      mutations: [
        {
          patchType: "ApplyConfiguration",
          applyConfiguration: { expression: "Object{metadata: Object.metadata{labels: {'mutated': 'yes'}}}" },
        },
        {
          patchType: "JSONPatch",
          jsonPatch: { expression: "[JSONPatch{op: 'add', path: '/data', value: {'k': 'v'}}]" },
        },
      ],
    }),
    admission("MutatingAdmissionPolicyBinding", names.mutating, { policyName: names.mutating }),
  ]);
  const path = "jsonpath={.metadata.labels} {.data}";
  const created = (name: string) => cluster.kubectl(["create", "configmap", name, "--dry-run=server", "-o", path]);
  const mutated = await eventually("the policy counts", async () => {
    const text = await created("chosen-one");
    return text.trim() === "" ? undefined : text;
  });
  assert.equal(mutated, '{"mutated":"yes"} {"k":"v"}');
  assert.equal((await created("other")).trim(), "");
});
