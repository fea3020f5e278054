import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Api } from "../framework/api.ts";
import { eventually, useCluster } from "../framework/lab.ts";
import { apiOnlyKinds, type OperationKind } from "./operation-kinds.ts";
import { createCertificateRequest, generateEcKey } from "#pkg/pki/index.ts";

const context = useCluster("operations");
const limit = { timeout: 60_000 };
const run = Math.random().toString(36).slice(2, 8);
let api: Api;
after(() => api?.close());

const admission = "admissionregistration.k8s.io";
const nowhere = { matchLabels: { nowhere: run } };
const rule = { apiGroups: ["apps"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["deployments"] };
const matchConstraints = { namespaceSelector: nowhere, resourceRules: [rule] };
const condition = {
  type: "E2E",
  status: "True",
  reason: "Test",
  message: "Set by a test",
  lastTransitionTime: new Date().toISOString(),
};
const approved = { type: "Approved", status: "True", reason: "E2E", message: "Set by a test" };
const kinds: readonly OperationKind[] = [
  {
    group: admission,
    plural: "validatingadmissionpolicies",
    fields: () => ({ spec: { matchConstraints, validations: [{ expression: "object.spec.replicas < 100" }] } }),
    subresources: { status: { status: { conditions: [condition] } } },
  },
  {
    group: admission,
    plural: "validatingadmissionpolicybindings",
    fields: () => ({ spec: { policyName: "nobody", validationActions: ["Deny"] } }),
  },
  {
    group: admission,
    plural: "mutatingadmissionpolicies",
    fields: () => ({
      spec: {
        matchConstraints,
        reinvocationPolicy: "Never",
        failurePolicy: "Fail",
        mutations: [
          {
            patchType: "ApplyConfiguration",
            applyConfiguration: { expression: "Object{spec: Object.spec{replicas: 3}}" },
          },
        ],
      },
    }),
  },
  { group: admission, plural: "mutatingadmissionpolicybindings", fields: () => ({ spec: { policyName: "nobody" } }) },
  {
    group: "certificates.k8s.io",
    plural: "certificatesigningrequests",
    fields: async () => ({
      spec: {
        request: Buffer.from(await createCertificateRequest(generateEcKey(), { commonName: "e2e" })).toString("base64"),
        signerName: "example.com/e2e",
        usages: ["digital signature", "key encipherment", "server auth"],
        expirationSeconds: 3600,
      },
    }),
    subresources: {
      approval: { status: { conditions: [approved] } },
      status: { status: { conditions: [approved, condition] } },
    },
  },
  { group: "", plural: "serviceaccounts", namespaced: true, fields: () => ({}) },
  {
    group: "",
    plural: "limitranges",
    namespaced: true,
    fields: () => ({ spec: { limits: [{ type: "Container", default: { memory: "500Mi" }, max: { memory: "1Gi" } }] } }),
  },
  {
    group: "",
    plural: "resourcequotas",
    namespaced: true,
    fields: () => ({ spec: { hard: { cpu: "500m", memory: "1Gi" } } }),
    subresources: { status: { status: { hard: { cpu: "400m" } } } },
  },
  ...apiOnlyKinds,
];

for (const { group, plural, namespaced = false, fields, subresources = {}, nameOf = (name: string) => name } of kinds)
  test(`${plural} support every operation`, limit, async () => {
    api ??= await new Api(context.cluster).ready();
    const root = group === "" ? "/api/v1" : `/apis/${group}/v1`;
    const collection = `${root}${namespaced ? `/namespaces/${context.cluster.namespace}` : ""}/${plural}`;
    const selector = `labelSelector=run%3D${run}`;
    const { resources } = (await api.ask(root)).json as unknown as {
      resources: { name: string; verbs: string[]; kind: string }[];
    };
    const verbs = (name: string) => resources.find((resource) => resource.name === name)?.verbs.join();
    assert.equal(verbs(plural), "create,delete,deletecollection,get,list,patch,update,watch");
    for (const name of Object.keys(subresources)) assert.equal(verbs(`${plural}/${name}`), "get,patch,update");

    const make = async (name: string) => {
      const answer = await api.ask(collection, {
        body: { metadata: { name, labels: { run } }, ...(await fields(context.cluster.namespace)) },
      });
      assert.equal(answer.status, 201, answer.text);
      return answer.json;
    };
    const [first, second, third] = ["a", "b", "c"].map((letter) => nameOf(`${letter}-${run}`)) as [
      string,
      string,
      string,
    ];
    const { resourceVersion } = (await make(first)).metadata;
    await make(second);
    await make(third);
    const one = `${collection}/${first}`;
    assert.equal((await api.ask(one)).json.metadata.name, first);
    const listed = (await api.ask(`${collection}?${selector}`)).json as unknown as { items: unknown[] };
    assert.equal(listed.items.length, 3);
    const everywhere = (await api.ask(`${root}/${plural}?${selector}`)).json as unknown as { items: unknown[] };
    assert.equal(everywhere.items.length, 3);

    const watching = api.watch(`${collection}?watch=true&${selector}&resourceVersion=${resourceVersion}`);
    await watching.next("ADDED", third);
    const patched = await api.ask(one, { method: "PATCH", body: { metadata: { annotations: { patched: "true" } } } });
    assert.equal(patched.json.metadata.annotations?.["patched"], "true", patched.text);
    const update = async () => {
      const { json } = await api.ask(one);
      json.metadata.annotations = { ...json.metadata.annotations, updated: "true" };
      const answer = await api.ask(one, { method: "PUT", body: json });
      return answer.status === 409 ? undefined : answer;
    };
    const updated = await eventually("the update meets no other", update);
    assert.equal(updated.json.metadata.annotations?.["updated"], "true", updated.text);
    await watching.next("MODIFIED", first, ({ metadata }) => metadata.annotations?.["updated"] === "true");
    for (const [subresource, body] of Object.entries(subresources)) {
      const change = await api.ask(`${one}/${subresource}`, { method: "PATCH", body });
      assert.equal(change.status, 200, change.text);
      assert.ok(contains(change.json, body), change.text);
      const put = await eventually("the update meets no other", async () => {
        const { json } = await api.ask(`${one}/${subresource}`);
        const answer = await api.ask(`${one}/${subresource}`, { method: "PUT", body: json });
        return answer.status === 409 ? undefined : answer;
      });
      assert.equal(put.status, 200, put.text);
    }
    assert.equal((await api.ask(one, { method: "DELETE" })).status, 200);
    await watching.next("DELETED", first);
    watching.close();
    const gone = async () => (await api.ask(one)).status === 404 || undefined;
    await eventually("whoever protects the object lets it go", gone);
    assert.equal((await api.ask(`${collection}?${selector}`, { method: "DELETE" })).status, 200);
    await eventually("nothing is left", async () => {
      const { items } = (await api.ask(`${collection}?${selector}`)).json as unknown as { items: unknown[] };
      return items.length === 0 || undefined;
    });
  });

/** Is everything that `part` says also said by `whole`? Lists: each element somewhere. */
function contains(whole: unknown, part: unknown): boolean {
  if (Array.isArray(part))
    return Array.isArray(whole) && part.every((item) => whole.some((other) => contains(other, item)));
  if (typeof part !== "object" || part === null)
    return whole === part || (typeof part === "string" && Date.parse(part) - Date.parse(String(whole)) < 1000);
  return (
    typeof whole === "object" &&
    whole !== null &&
    Object.entries(part).every(([key, value]) => contains((whole as Record<string, unknown>)[key], value))
  );
}
