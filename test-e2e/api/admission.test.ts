import assert from "node:assert/strict";
import { after, test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";

after(async () => {
  const { cluster } = context;
  for (const kind of ["validatingadmissionpolicy", "mutatingadmissionpolicy"])
    for (const resource of [kind, `${kind}binding`])
      await cluster.kubectl(["delete", resource, ...Object.values(names), "--ignore-not-found"]);
});
const context = useCluster("admission");
const limit = { timeout: 60_000 };
const suffix = `${Math.random().toString(36).slice(2, 8)}.example.com`;
const names = { validating: `replicas-${suffix}`, mutating: `labels-${suffix}`, deployments: `deployments-${suffix}` };

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

test("a MutatingAdmissionPolicy changes Deployments with variables and parameters", limit, async () => {
  const { cluster } = context;
  const { namespace } = cluster;
  await cluster.apply([
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "wishes" }, data: { replicas: "3" } },
    admission("MutatingAdmissionPolicy", names.deployments, {
      reinvocationPolicy: "IfNeeded",
      matchConstraints: matches("apps", "deployments"),
      paramKind: { apiVersion: "v1", kind: "ConfigMap" },
      variables: [{ name: "wanted", expression: "int(params.data['replicas'])" }],
      mutations: [
        {
          patchType: "ApplyConfiguration",
          applyConfiguration: {
            expression:
              "Object{metadata: Object.metadata{annotations: {'by': request.userInfo.username}}, spec: Object.spec{replicas: variables.wanted, template: Object.spec.template{spec: Object.spec.template.spec{priorityClassName: namespaceObject.metadata.name}}}}",
          },
        },
      ],
    }),
    admission("MutatingAdmissionPolicyBinding", names.deployments, {
      policyName: names.deployments,
      paramRef: { name: "wishes", namespace, parameterNotFoundAction: "Deny" },
    }),
  ]);
  const shown =
    ".metadata.annotations.by} {.spec.replicas} {.spec.template.spec.priorityClassName} {.spec.template.spec.containers[0].image";
  const create = [
    "create",
    "deployment",
    "changed",
    "--image=nginx:1.14.2",
    "--dry-run=server",
    "-o",
    `jsonpath={${shown}}`,
  ];
  const changed = await eventually("the policy counts", async () => {
    const text = await cluster.kubectl(create);
    return text.startsWith(" ") ? undefined : text;
  });
  assert.equal(changed, `kubernetes-admin 3 ${namespace} nginx:1.14.2`);
  await cluster.kubectl(["delete", "configmap", "wishes"]);
  const refused = await eventually("the parameter is missed", async () => {
    const { exitCode, stderr } = await cluster.try(create);
    return exitCode === 0 ? undefined : stderr;
  });
  const missing = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
  const whose = `policy '${names.deployments}' with binding '${names.deployments}'`;
  assert.ok(refused.includes(`${whose} denied request: ${missing}`), refused);
});
