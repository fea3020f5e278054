import assert from "node:assert/strict";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { after, before, beforeEach, describe, test } from "node:test";
import type {
  MutatingWebhookConfiguration,
  ValidatingWebhookConfiguration,
} from "#pkg/api/types/admissionregistration-v1.ts";
import type { Namespace, Pod, Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { StatusError } from "#pkg/apimachinery/index.ts";
import { createCa, issueCertificate, type KeyPair } from "#pkg/pki/index.ts";
import { schemaOf } from "#pkg/api/index.ts";
import { RealClock, SecureRandom, silentLogger } from "#pkg/util/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import { MemorySource } from "../../source/index.ts";
import { PluginChain } from "../chain.ts";
import { equivalentsOf } from "../equivalents.ts";
import { attributesFor, type TestAttributes } from "../testing.ts";
import { WebhookClient } from "./client.ts";
import type { WebhookDeps } from "./hooks.ts";
import { HttpsTransport } from "./https-transport.ts";
import { MutatingAdmissionWebhook, ValidatingAdmissionWebhook } from "./plugins.ts";
import { EndpointResolver } from "./service-resolver.ts";

interface ReviewRequest {
  readonly uid: string;
  readonly object: { readonly metadata: { readonly name: string; readonly labels?: Record<string, string> } } & Record<
    string,
    unknown
  >;
  readonly [field: string]: unknown;
}
type Answer = object | "hang" | "garbage" | number;

const clock = new RealClock();
const random = new SecureRandom();
let ca: KeyPair;
let server: Server;
let port: number;
const calls: { path: string; apiVersion: string; request: ReviewRequest }[] = [];
let answer: (path: string, request: ReviewRequest) => Answer;
const transport = new HttpsTransport(clock);
const sockets = new Set<TLSSocket>();

const services = new MemorySource<Service>();
const slices = new MemorySource<EndpointSlice>();
const namespaces = new MemorySource<Namespace>([
  { metadata: { name: "ns", labels: { team: "a" } } } as unknown as Namespace,
]);
const mutatingSource = new MemorySource<MutatingWebhookConfiguration>();
const validatingSource = new MemorySource<ValidatingWebhookConfiguration>();
const definitions: { definition: ResourceDefinition }[] = [];
const deps: WebhookDeps = {
  client: new WebhookClient(transport, new EndpointResolver(services, slices, random)),
  namespaces,
  equivalents: equivalentsOf(() => definitions),
  random,
  log: silentLogger,
};
const mutating = new MutatingAdmissionWebhook(mutatingSource, deps);
const validating = new ValidatingAdmissionWebhook(validatingSource, deps);

before(async () => {
  ca = await createCa({ commonName: "webhook-ca", validityDays: 1, now: Date.now() });
  const pair = await issueCertificate(ca, {
    commonName: "hook",
    usages: ["server"],
    dnsNames: ["hook.hooks.svc"],
    validityDays: 1,
    now: Date.now(),
  });
  server = createServer(pair, (incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const { apiVersion, request } = JSON.parse(Buffer.concat(chunks).toString()) as {
        apiVersion: string;
        request: ReviewRequest;
      };
      calls.push({ path: incoming.url!, apiVersion, request });
      const said = answer(incoming.url!, request);
      if (said === "hang") return;
      if (typeof said === "number") response.writeHead(said).end("broken");
      else if (said === "garbage") response.end("hello");
      else
        response.end(
          JSON.stringify({
            apiVersion,
            kind: "AdmissionReview",
            response: { uid: request.uid, ...said },
          }),
        );
    });
  });
  server.on("secureConnection", (socket: TLSSocket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
  services.set({
    metadata: { name: "hook", namespace: "hooks" },
    spec: { ports: [{ name: "https", port: 8443 }] },
  } as unknown as Service);
  slices.set({
    metadata: { name: "hook-1", namespace: "hooks", labels: { "kubernetes.io/service-name": "hook" } },
    addressType: "IPv4",
    ports: [{ name: "https", port }],
    endpoints: [
      { addresses: ["127.0.0.1"], conditions: { ready: true } },
      { addresses: ["127.0.0.2"], conditions: { ready: false } },
    ],
  } as unknown as EndpointSlice);
});
after(() => {
  transport.close();
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  calls.length = 0;
  answer = () => ({ allowed: true });
  for (const { metadata } of mutatingSource.list()) mutatingSource.delete("", metadata.name);
  for (const { metadata } of validatingSource.list()) validatingSource.delete("", metadata.name);
  definitions.length = 0;
});

const PODS = { operations: ["CREATE", "UPDATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] };
const hook = (path: string, more: object = {}): object => ({
  name: `${path}.example.com`,
  clientConfig: {
    service: { name: "hook", namespace: "hooks", port: 8443, path: `/${path}` },
    caBundle: Buffer.from(ca.cert).toString("base64"),
  },
  rules: [PODS],
  sideEffects: "None",
  admissionReviewVersions: ["v1"],
  failurePolicy: "Fail",
  matchPolicy: "Equivalent",
  timeoutSeconds: 5,
  ...more,
});
const mutate = (name: string, ...webhooks: object[]): void =>
  mutatingSource.set({ metadata: { name }, webhooks } as unknown as MutatingWebhookConfiguration);
const validate = (name: string, ...webhooks: object[]): void =>
  validatingSource.set({ metadata: { name }, webhooks } as unknown as ValidatingWebhookConfiguration);
const pod = (labels: Record<string, string> = {}): Pod =>
  ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "ns", labels },
    spec: { containers: [] },
  }) as unknown as Pod;

function withDefaults(attributes: TestAttributes): TestAttributes {
  return {
    ...attributes,
    resource: {
      ...attributes.resource,
      schema: schemaOf("io.k8s.api.core.v1.Pod"),
      applyDefaults: () => undefined,
      subresources: [],
    },
  };
}
async function go(
  attributes = attributesFor("pods", { object: pod(), kind: "Pod" }),
  ...more: AdmissionPlugin[]
): Promise<TestAttributes> {
  const prepared = withDefaults(attributes);
  const chain = new PluginChain([...more, mutating, validating]);
  await chain.admit(prepared);
  await chain.validate(prepared);
  return prepared;
}
const patchOf = (...operations: object[]): object => ({
  allowed: true,
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
});
const label = (key: string): object => patchOf({ op: "add", path: `/metadata/labels/${key}`, value: "yes" });

describe("validating webhooks", () => {
  test("get a complete review and may allow, warn and annotate", async () => {
    validate("v", hook("allow"));
    answer = () => ({ allowed: true, warnings: ["careful"], auditAnnotations: { key: "value" } });
    const attributes = await go();
    assert.deepEqual(attributes.warnings, ["careful"]);
    assert.deepEqual(attributes.annotations, { "allow.example.com/key": "value" });
    const [{ path, request }] = calls as [(typeof calls)[0]];
    assert.equal(path, "/allow?timeout=5s");
    const { uid, object, ...rest } = request;
    assert.match(uid, /^[0-9a-f-]{36}$/);
    assert.equal(object.metadata.name, "p");
    assert.deepEqual(rest, {
      kind: { group: "", version: "v1", kind: "Pod" },
      resource: { group: "", version: "v1", resource: "pods" },
      requestKind: { group: "", version: "v1", kind: "Pod" },
      requestResource: { group: "", version: "v1", resource: "pods" },
      name: "p",
      namespace: "ns",
      operation: "CREATE",
      userInfo: { username: "tester", groups: ["system:authenticated"] },
      oldObject: null,
      dryRun: false,
      options: null,
    });
  });

  test("deny with their own words and code", async () => {
    validate("v", hook("deny"));
    const table: [object, string, number][] = [
      [
        { allowed: false, status: { message: "no way", code: 403, reason: "Forbidden" } },
        'admission webhook "deny.example.com" denied the request: no way',
        403,
      ],
      [
        { allowed: false, status: { reason: "Because" } },
        'admission webhook "deny.example.com" denied the request: Because',
        400,
      ],
      [{ allowed: false }, 'admission webhook "deny.example.com" denied the request without explanation', 400],
      [
        { allowed: false, status: { code: 200, status: "Success", message: "m" } },
        'admission webhook "deny.example.com" denied the request: m',
        400,
      ],
    ];
    for (const [said, message, code] of table) {
      answer = () => said;
      await assert.rejects(go(), (error: StatusError) => {
        assert.deepEqual([error.message, error.code, error.status.status], [message, code, "Failure"]);
        return true;
      });
    }
  });

  test("failures close or open by failurePolicy", async () => {
    const failing = async (said: Answer, more: object = {}): Promise<string> => {
      answer = () => said;
      validate("v", hook("f", more));
      return go().then(
        () => "",
        (error: StatusError) => `${error.code} ${error.message}`,
      );
    };
    const prefix = '500 Internal error occurred: failed calling webhook "f.example.com": ';
    assert.equal(
      await failing("hang", { timeoutSeconds: 1 }),
      `${prefix}failed to call webhook: Post "https://hook.hooks.svc:8443/f?timeout=1s": context deadline exceeded`,
    );
    assert.equal(
      await failing(404),
      `${prefix}failed to call webhook: the server could not find the requested resource`,
    );
    assert.equal(
      await failing(500),
      `${prefix}failed to call webhook: an error on the server ("broken") has prevented the request from succeeding`,
    );
    assert.match(await failing("garbage"), /failed to call webhook: couldn't get version\/kind; json parse error/);
    assert.match(
      await failing({ uid: "other", allowed: true }),
      /received invalid webhook response: expected response.uid="[0-9a-f-]+", got "other"/,
    );
    assert.match(await failing(label("x")), /validating webhook may not return response\.patch/);
    assert.equal(
      await failing({ allowed: "yes" }),
      `${prefix}failed to call webhook: json: cannot unmarshal string into Go struct field AdmissionResponse.response.allowed of type bool`,
    );
    assert.equal(await failing(409), `${prefix}failed to call webhook: the server reported a conflict`);
    const other = await createCa({ commonName: "other", validityDays: 1, now: Date.now() });
    const service = { name: "hook", namespace: "hooks", port: 8443 };
    const caBundle = Buffer.from(other.cert).toString("base64");
    assert.match(
      await failing({ allowed: true }, { clientConfig: { service, caBundle } }),
      /x509: certificate signed by unknown authority/,
    );
    assert.match(
      await failing({ allowed: true }, { clientConfig: { service: { ...service, name: "none" }, caBundle } }),
      /service "none" not found/,
    );
    assert.match(
      await failing({ allowed: true }, { clientConfig: { url: "https://127.0.0.1:1/x", caBundle } }),
      /Post "https:\/\/127.0.0.1:1\/x\?timeout=5s": dial tcp 127.0.0.1:1: connect: connection refused/,
    );
    assert.equal(await failing(500, { failurePolicy: "Ignore" }), "");
  });

  test("are asked only about what they select", async () => {
    const asked = async (more: object, attributes?: TestAttributes): Promise<boolean> => {
      calls.length = 0;
      validate("v", hook("s", more));
      await go(attributes);
      return calls.length > 0;
    };
    const rule = (changes: object): object => ({ rules: [{ ...PODS, ...changes }] });
    const exec = (): TestAttributes =>
      attributesFor("pods", {
        operation: "CONNECT",
        subresource: "exec",
        object: { kind: "PodExecOptions" },
        name: "p",
      });
    const node = (): TestAttributes => attributesFor("nodes", { object: { metadata: { name: "n" } }, namespace: "" });
    assert.equal(await asked({}), true);
    assert.equal(await asked(rule({ operations: ["DELETE"] })), false);
    assert.equal(await asked(rule({ apiVersions: ["v2"] })), false);
    assert.equal(await asked(rule({ resources: ["*"] })), true);
    assert.equal(await asked(rule({ operations: ["*"], resources: ["pods"] }), exec()), false);
    assert.equal(await asked(rule({ operations: ["*"], resources: ["pods/*"] }), exec()), true);
    assert.equal(await asked(rule({ operations: ["*"], resources: ["*/exec"] }), exec()), true);
    assert.equal(await asked(rule({ operations: ["*"], resources: ["*"] }), exec()), false);
    assert.equal(await asked(rule({ scope: "Cluster" })), false);
    assert.equal(await asked(rule({ resources: ["nodes"], scope: "Cluster" }), node()), true);
    assert.equal(await asked(rule({ resources: ["nodes"], scope: "Namespaced" }), node()), false);
    assert.equal(await asked({ namespaceSelector: { matchLabels: { team: "a" } } }), true);
    assert.equal(await asked({ namespaceSelector: { matchLabels: { team: "b" } } }), false);
    assert.equal(await asked({ objectSelector: { matchLabels: { x: "1" } } }), false);
    const labelled = attributesFor("pods", { object: pod(), oldObject: pod({ x: "1" }) });
    assert.equal(await asked({ objectSelector: { matchLabels: { x: "1" } } }, labelled), true);
    const ownConfiguration = attributesFor("admissionregistration.k8s.io/validatingwebhookconfigurations", {
      object: { metadata: {} },
      namespace: "",
    });
    assert.equal(await asked(rule({ operations: ["*"], apiGroups: ["*"], resources: ["*"] }), ownConfiguration), false);
  });

  test("dry runs reach only webhooks without side effects", async () => {
    const dry = (): TestAttributes => attributesFor("pods", { object: pod(), dryRun: true });
    validate("v", hook("d", { sideEffects: "NoneOnDryRun" }));
    await go(dry());
    assert.equal(calls[0]!.request["dryRun"], true);
    validate("v", hook("d", { sideEffects: "Some" }));
    await assert.rejects(go(dry()), { message: 'admission webhook "d.example.com" does not support dry run' });
  });

  test("old webhooks speak v1beta1, unknown ones fail", async () => {
    mutate("m", hook("old", { admissionReviewVersions: ["v2", "v1beta1", "v1"] }));
    answer = () => ({ apiVersion: "admission.k8s.io/v1beta1", uid: "", ...label("beta"), patchType: undefined });
    const attributes = await go();
    assert.deepEqual(attributes.object!.metadata.labels, { beta: "yes" });
    assert.equal(calls[0]!.apiVersion, "admission.k8s.io/v1beta1");
    mutate("m", hook("new", { admissionReviewVersions: ["v2"] }));
    await assert.rejects(go(), /no AdmissionReview version is accepted by both sides/);
  });

  test("an idle connection that the server closed meanwhile is replaced, once", async () => {
    validate("v", hook("k"));
    await go();
    let connections = 0;
    const count = (): void => void connections++;
    server.on("secureConnection", count);
    let dropped = 0;
    // The first request on a connection that has been used before is dropped without an answer.
    const drop = (socket: TLSSocket): void => {
      dropped++;
      socket.destroy();
    };
    for (const socket of sockets) socket.prependOnceListener("data", () => drop(socket));
    await go();
    assert.equal(dropped, 1);
    assert.equal(connections, 1);
    server.off("secureConnection", count);
  });

  test("changes of configuration count at once", async () => {
    answer = () => ({ allowed: false });
    await go();
    validate("v", hook("x"));
    await assert.rejects(go());
    validatingSource.delete("", "v");
    await go();
  });

  test("matchPolicy Equivalent converts to the version of the rule", async () => {
    const v1 = {
      group: "apps",
      version: "v1",
      plural: "deployments",
      kind: "Deployment",
      namespaced: true,
      etcdPrefix: "deployments",
      subresources: [],
    };
    const v2 = {
      ...v1,
      version: "v2",
      fromStorage: (object: { spec: object }) => ({ ...object, spec: { ...object.spec, seenAs: "v2" } }),
    };
    const original = v1 as unknown as ResourceDefinition;
    definitions.push({ definition: original }, { definition: v2 as unknown as ResourceDefinition });
    const attributes = (): TestAttributes => {
      const base = attributesFor("apps/deployments", {
        object: { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "d" }, spec: {} },
      });
      return { ...base, resource: original };
    };
    const rules = [{ operations: ["CREATE"], apiGroups: ["apps"], apiVersions: ["v2"], resources: ["deployments"] }];
    validate("v", hook("e", { rules, matchPolicy: "Exact" }));
    const direct = attributes();
    await new PluginChain([validating]).validate(direct);
    assert.equal(calls.length, 0);
    validate("v", hook("e", { rules }));
    await new PluginChain([validating]).validate(attributes());
    const { request } = calls[0]!;
    assert.deepEqual(request["kind"], { group: "apps", version: "v2", kind: "Deployment" });
    assert.deepEqual(request["requestKind"], { group: "apps", version: "v1", kind: "Deployment" });
    assert.deepEqual(request.object["spec"], { seenAs: "v2" });
    assert.equal(request.object["apiVersion"], "apps/v2");
  });
});

describe("mutating webhooks", () => {
  test("patch in the order of configuration names", async () => {
    mutate("b", hook("second"));
    mutate("a", hook("first"), hook("other"));
    answer = (path) => label(path.slice(1, path.indexOf("?")));
    const attributes = await go();
    assert.deepEqual(
      calls.map(({ path }) => path.slice(1, path.indexOf("?"))),
      ["first", "other", "second"],
    );
    assert.deepEqual(attributes.object!.metadata.labels, { first: "yes", other: "yes", second: "yes" });
    assert.deepEqual(calls[2]!.request.object.metadata.labels, { first: "yes", other: "yes" });
    assert.equal(
      attributes.annotations["mutation.webhook.admission.k8s.io/round_0_index_1"],
      '{"configuration":"a","webhook":"other.example.com","mutated":true}',
    );
  });

  test("fields the kind does not have are dropped", async () => {
    mutate("a", hook("x"));
    answer = () =>
      patchOf({ op: "add", path: "/spec/nonsense", value: 1 }, { op: "add", path: "/spec/nodeName", value: "n" });
    const attributes = await go();
    assert.deepEqual(attributes.object!["spec"], { nodeName: "n" });
  });

  test("a patch that does not apply is an error", async () => {
    mutate("a", hook("bad"));
    answer = () => patchOf({ op: "remove", path: "/spec/nothing" });
    await assert.rejects(go(), { code: 500 });
  });

  test("plugins run again after a change, and IfNeeded webhooks when something changed since", async () => {
    let passes = 0;
    const plugin: AdmissionPlugin = {
      name: "InTree",
      handles: () => true,
      admit: ({ object }: AdmissionAttributes) => {
        passes++;
        if (object!.metadata.labels?.["two"] !== undefined) (object!.metadata.labels ??= {})["seen"] = "yes";
      },
    };
    mutate(
      "a",
      hook("one", { reinvocationPolicy: "IfNeeded" }),
      hook("two"),
      hook("three", { reinvocationPolicy: "IfNeeded" }),
    );
    answer = (path) => label(path.slice(1, path.indexOf("?")));
    const attributes = await go(undefined, plugin);
    assert.equal(passes, 2);
    assert.equal(attributes.object!.metadata.labels!["seen"], "yes");
    assert.deepEqual(
      calls.map(({ path }) => path.slice(1, path.indexOf("?"))),
      ["one", "two", "three", "one", "three"],
    );
  });

  test("nothing is called again when nothing changed", async () => {
    mutate("a", hook("one", { reinvocationPolicy: "IfNeeded" }));
    await go();
    assert.equal(calls.length, 1);
  });

  test("may deny", async () => {
    mutate("a", hook("no"));
    answer = () => ({ allowed: false, status: { message: "not here" } });
    await assert.rejects(go(), { message: 'admission webhook "no.example.com" denied the request: not here' });
  });
});
