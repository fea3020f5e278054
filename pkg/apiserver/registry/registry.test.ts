import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseAccept } from "../http/negotiate.ts";
import { parseTarget } from "../http/target.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import { decodeContinue, encodeContinue } from "./continue-token.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.close());

const MERGE = { "content-type": "application/merge-patch+json" };
const pods = "/api/v1/namespaces/default/pods";
const maps = "/api/v1/namespaces/default/configmaps";
const pod = (name: string, extra: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, ...extra },
  spec: { containers: [{ name: "c", image: "busybox" }] },
});
const map = (metadata: object, data: object = {}) => ({ apiVersion: "v1", kind: "ConfigMap", metadata, data });

test("reads request targets as authorizers know them", () => {
  const cases: [string, string, object][] = [
    ["GET", "/api/v1/pods", { verb: "list", resource: "pods", namespace: "", name: "" }],
    ["GET", "/api/v1/namespaces/a/pods?watch=true", { verb: "watch", namespace: "a", resource: "pods" }],
    ["GET", "/api/v1/namespaces/a/pods?watch=True", { verb: "watch" }],
    ["GET", "/api/v1/namespaces/a/pods?watch=False", { verb: "list" }],
    ["GET", "/api/v1/watch/namespaces/a/pods", { verb: "watch", namespace: "a", resource: "pods" }],
    ["DELETE", "/apis/apps/v1/namespaces/a/deployments", { verb: "deletecollection", group: "apps" }],
    ["GET", "/api/v1/namespaces/a", { verb: "get", resource: "namespaces", namespace: "a", name: "a" }],
    ["PUT", "/api/v1/namespaces/a/finalize", { resource: "namespaces", subresource: "finalize", name: "a" }],
    [
      "POST",
      "/api/v1/namespaces/a/pods/p/exec?command=ls",
      { verb: "create", subresource: "exec", name: "p", tail: "" },
    ],
    [
      "GET",
      "/api/v1/namespaces/a/services/https:s:443/proxy/x/../y%2Fz",
      { subresource: "proxy", name: "https:s:443", tail: "/x/../y%2Fz" },
    ],
    ["GET", "/apis/apps/v1", { resourceRequest: false, path: "/apis/apps/v1" }],
    ["GET", "/healthz/ping", { resourceRequest: false, verb: "get" }],
  ];
  for (const [method, url, expected] of cases) {
    const target = parseTarget(method, url) as unknown as Record<string, unknown>;
    for (const [field, value] of Object.entries(expected)) assert.equal(target[field], value, `${url}: ${field}`);
  }
});

test("orders media ranges and round-trips continue tokens", () => {
  assert.deepEqual(
    parseAccept("text/html;q=0.1, application/json;as=Table, */*;q=0.5").map(({ type }) => type),
    ["application/json", "*/*", "text/html"],
  );
  const token = { revision: 7, startAfter: "default/web" };
  assert.deepEqual(decodeContinue(encodeContinue(token)), token);
  assert.equal(
    Buffer.from(encodeContinue(token), "base64url").toString(),
    '{"v":"meta.k8s.io/v1","rv":7,"start":"default/web\\u0000"}',
  );
  const wrong: readonly [token: string, why: string][] = [
    ["x", "illegal base64 data at input byte 0"],
    ["ab+c", "illegal base64 data at input byte 2"],
    ["bm90aGluZw", "invalid character 'o' in literal null (expecting 'u')"],
    [Buffer.from('{"v":"v2"}').toString("base64url"), "server does not recognize this encoded version v2"],
  ];
  for (const [token, why] of wrong) {
    assert.throws(() => decodeContinue(token), {
      message: `invalid continue token: continue key is not valid: ${why}`,
    });
  }
});

test("takes prefixes that end in a dash, of kinds with rules of their own for names, too", async () => {
  const kinds: [string, object][] = [
    ["/api/v1/namespaces", {}],
    ["/api/v1/namespaces/default/services", { spec: { ports: [{ port: 80 }] } }],
    ["/apis/rbac.authorization.k8s.io/v1/clusterroles", { rules: [] }],
    [maps, {}],
  ];
  for (const [path, object] of kinds) {
    const made = await server.request(path, { body: { metadata: { generateName: "a-" }, ...object } });
    assert.match(made.json.metadata.name!, /^a-[a-z0-9]{5}$/, made.text);
    const refused = await server.request(path, { body: { metadata: { generateName: "/-" }, ...object } });
    assert.equal(refused.status, 422, path);
  }
});

test("a deployment's annotations count as a change of what is wanted, its labels do not", async () => {
  const path = "/apis/apps/v1/namespaces/default/deployments";
  const template = { metadata: { labels: { a: "1" } }, spec: { containers: [{ name: "c", image: "i" }] } };
  const spec = { replicas: 0, selector: { matchLabels: { a: "1" } }, template };
  await server.request(path, { body: { metadata: { name: "noted" }, spec } });
  const generation = async (metadata: object) => {
    const headers = { "content-type": "application/merge-patch+json" };
    const answer = await server.request(`${path}/noted`, { method: "PATCH", headers, body: { metadata } });
    return answer.json.metadata.generation;
  };
  assert.equal(await generation({ labels: { x: "y" } }), 1);
  assert.equal(await generation({ annotations: { x: "y" } }), 2);
  assert.equal(await generation({ annotations: { x: "y" } }), 2);
});

test("a status brings metadata with it where upstream lets it", async () => {
  const template = { metadata: { labels: { a: "1" } }, spec: { containers: [{ name: "c", image: "i" }] } };
  const metadata = { name: "with-status", labels: { old: "1" }, annotations: { old: "1" } };
  const kinds: [string, object, labels: string, annotations: string][] = [
    ["policy/v1/namespaces/default/poddisruptionbudgets", { minAvailable: 1 }, "2", "2"],
    ["apps/v1/namespaces/default/deployments", { selector: { matchLabels: { a: "1" } }, template }, "1", "2"],
    [
      "storage.k8s.io/v1/volumeattachments",
      { attacher: "a.b", nodeName: "n", source: { persistentVolumeName: "v" } },
      "1",
      "1",
    ],
    ["resource.k8s.io/v1/namespaces/default/resourceclaims", {}, "1", "1"],
  ];
  for (const [kind, spec, labels, annotations] of kinds) {
    const path = `/apis/${kind}`;
    const { apiVersion, kind: name } = (await server.request(path, { body: { metadata, spec } })).json;
    const headers = { "content-type": "application/apply-patch+yaml" };
    const body = { apiVersion, kind: name, metadata: { labels: { old: "2" }, annotations: { old: "2" } } };
    const answer = await server.request(`${path}/with-status/status?fieldManager=me&force=true`, {
      method: "PATCH",
      headers,
      body,
    });
    assert.deepEqual(
      [answer.json.metadata.labels, answer.json.metadata.annotations],
      [{ old: labels }, { old: annotations }],
      kind,
    );
    const written = answer.json.metadata.managedFields!.find(({ subresource }) => subresource === "status");
    assert.equal(JSON.stringify(written ?? {}).includes("f:labels"), labels === "2", kind);
  }
});

test("deletes pods gracefully, and at once when asked", async () => {
  await server.request(pods, { body: pod("graceful") });
  await server.request(`${pods}/graceful/binding`, { body: { metadata: { name: "graceful" }, target: { name: "n" } } });
  const first = await server.request(`${pods}/graceful`, { method: "DELETE" });
  assert.equal(first.json.metadata.deletionGracePeriodSeconds, 30, first.text);
  assert.ok(first.json.metadata.deletionTimestamp);
  assert.equal(first.json.metadata.generation, 2);
  const again = await server.request(`${pods}/graceful`, { method: "DELETE", body: { gracePeriodSeconds: 60 } });
  assert.equal(again.json.metadata.resourceVersion, first.json.metadata.resourceVersion);
  const wrong = { preconditions: { uid: "other" }, gracePeriodSeconds: 0 };
  const refused = await server.request(`${pods}/graceful`, { method: "DELETE", body: wrong });
  assert.equal(refused.status, 409);
  assert.match(
    String(refused.json["message"]),
    /on Pod "graceful": the UID in the precondition \(other\) does not match the UID in record \(/,
  );
  const gone = await server.request(`${pods}/graceful`, { method: "DELETE", body: { gracePeriodSeconds: 0 } });
  assert.equal(gone.json.kind, "Pod");
  assert.equal((await server.request(`${pods}/graceful`)).status, 404);
});

test("keeps what finalizers hold, and lets it go with the last one", async () => {
  await server.request(maps, { body: map({ name: "held", finalizers: ["example.com/a"] }) });
  const deleted = await server.request(`${maps}/held?propagationPolicy=Foreground`, { method: "DELETE" });
  assert.deepEqual(deleted.json.metadata.finalizers, ["example.com/a", "foregroundDeletion"]);
  const added = await server.request(`${maps}/held`, {
    method: "PATCH",
    body: { metadata: { finalizers: ["example.com/a", "foregroundDeletion", "example.com/b"] } },
    headers: MERGE,
  });
  assert.equal(added.status, 422);
  assert.match(
    String(added.json["message"]),
    /no new finalizers can be added if the object is being deleted, found new finalizers \[\]string\{"example.com\/b"\}/,
  );
  await server.request(`${maps}/held`, { method: "PATCH", body: { metadata: { finalizers: null } }, headers: MERGE });
  assert.equal((await server.request(`${maps}/held`)).status, 404);
});

test("generates names, tries nothing for a dry run", async () => {
  const first = await server.request(maps, { body: map({ generateName: "gen-" }) });
  assert.match(first.json.metadata.name ?? "", /^gen-[a-z0-9]{5}$/);
  const dry = await server.request(`${maps}?dryRun=All`, { body: map({ name: "dry" }) });
  assert.equal(dry.status, 201);
  assert.equal((await server.request(`${maps}/dry`)).status, 404);
  const bad = await server.request(`${maps}?dryRun=Some`, { body: map({ name: "dry" }) });
  assert.equal(bad.status, 422);
  assert.match(String(bad.json["message"]), /dryRun: Unsupported value: \["Some"\]: supported values: "All"/);
});

test("refuses a revision of what is new, and who means another object than the one of the name", async () => {
  const copied = await server.request(maps, { body: map({ name: "copied", resourceVersion: "5" }) });
  const why = "resourceVersion should not be set on objects to be created";
  assert.deepEqual([copied.status, copied.json["message"], copied.json["reason"]], [500, why, undefined]);
  assert.equal((await server.request(maps, { body: map({ name: "copied", resourceVersion: "0" }) })).status, 201);
  const cases = { copied: "[0-9a-f-]{36}", gone: "" };
  for (const [name, has] of Object.entries(cases)) {
    const put = await server.request(`${maps}/${name}`, { method: "PUT", body: map({ name, uid: "u" }) });
    const stored = `StorageError: invalid object, Code: 4, Key: /registry/configmaps/[a-z-]+/${name}, ResourceVersion: 0`;
    const why = `AdditionalErrorMsg: Precondition failed: UID in precondition: u, UID in object meta: ${has}`;
    assert.equal(put.status, 409);
    assert.match(String(put.json["message"]), new RegExp(`": ${stored}, ${why}$`));
  }
});

test("a patch leaves an object its name, namespace and uid", async () => {
  await server.request(maps, { body: map({ name: "stays" }) });
  const table: [object, number, string][] = [
    [{ name: "goes" }, 400, "the name of the object (goes) does not match the name on the URL (stays)"],
    [
      { namespace: "other" },
      400,
      "the namespace of the provided object does not match the namespace sent on the request",
    ],
    [{ uid: "other" }, 422, 'ConfigMap "stays" is invalid: metadata.uid: Invalid value: "other": field is immutable'],
  ];
  for (const [metadata, status, message] of table) {
    const refused = await server.request(`${maps}/stays`, { method: "PATCH", headers: MERGE, body: { metadata } });
    assert.equal(refused.status, status);
    assert.equal(refused.json["message"], message);
  }
});

test("reports unknown and repeated fields as asked", async () => {
  const body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"v","name":"v"},"dta":{}}';
  const strict = await server.request(`${maps}?fieldValidation=Strict`, { body });
  assert.equal(strict.status, 400);
  assert.equal(
    strict.json["message"],
    'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "metadata.name", unknown field "dta"',
  );
  const warned = await server.request(`${maps}?dryRun=All`, { body });
  assert.equal(
    warned.headers["warning"],
    '299 - "duplicate field \\"metadata.name\\"", 299 - "unknown field \\"dta\\""',
  );
  const ignored = await server.request(`${maps}?dryRun=All&fieldValidation=Ignore`, { body });
  assert.equal(ignored.headers["warning"], undefined);
  const wrongType = await server.request(pods, { body: { ...pod("t"), spec: { containers: "none" } } });
  assert.equal(wrongType.status, 400);
  assert.match(
    String(wrongType.json["message"]),
    /Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go/,
  );
});

test("drops any number of unknown fields, and takes as many entries", async () => {
  const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`x${index}`, "1"]));
  const ignoring = await server.request(`${maps}?fieldValidation=Ignore`, {
    body: { ...many, ...map({ name: "many" }, many) },
  });
  assert.equal(ignoring.status, 201);
  assert.deepEqual(Object.keys(ignoring.json).sort(), ["apiVersion", "data", "kind", "metadata"]);
  assert.equal(Object.keys(ignoring.json["data"] as object).length, 20_000);
  const strict = await server.request(`${maps}?fieldValidation=Strict`, { body: { ...many, ...map({ name: "no" }) } });
  assert.equal(strict.status, 400);
  assert.ok(strict.bytes.length < 10_000, `${strict.bytes.length} bytes`);
});

test("an applied item whose key is null is refused by validation", async () => {
  const spec = { selector: { matchLabels: { a: "b" } }, template: {} as object };
  spec.template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: null, image: "i" }] } };
  const answer = await server.request("/apis/apps/v1/namespaces/default/deployments/nameless?fieldManager=m", {
    method: "PATCH",
    headers: { "content-type": "application/apply-patch+yaml" },
    body: { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "nameless" }, spec },
  });
  assert.equal(answer.status, 422);
  assert.match(String(answer.json["message"]), /spec\.template\.spec\.containers\[0\]\.name: Required value/);
});

test("a path that is there says which methods it has not", async () => {
  const answers: readonly [method: string, path: string, status: number][] = [
    ["POST", "/api/v1/configmaps", 405],
    ["DELETE", "/api/v1/configmaps", 405],
    ["PUT", maps, 405],
    ["PATCH", maps, 405],
    ["HEAD", maps, 405],
    ["TRACE", maps, 405],
    ["GET", "/api/v1/configmaps/x", 404],
    ["POST", "/apis/authorization.k8s.io/v1/localsubjectaccessreviews", 404],
  ];
  for (const [method, path, status] of answers) {
    const writes = ["POST", "PUT", "PATCH"].includes(method);
    const answer = await server.request(path, { method, ...(writes ? { body: {} } : {}) });
    assert.equal(answer.status, status, `${method} ${path}`);
  }
});

test("refuses what it cannot read, write or take", async () => {
  const large = await server.request(maps, { body: map({ name: "large" }, { x: "x".repeat(3.5 * 1024 * 1024) }) });
  assert.equal(large.status, 413);
  assert.equal(large.json["reason"], "RequestEntityTooLarge");
  const type = await server.request(maps, { body: "x", headers: { "content-type": "text/html" } });
  assert.equal(type.status, 415);
  const accept = await server.request(maps, { headers: { accept: "text/html" } });
  assert.equal(accept.status, 406);
  const patch = await server.request(`${maps}/x`, {
    method: "PATCH",
    body: "{}",
    headers: { "content-type": "application/json" },
  });
  assert.deepEqual([patch.status, patch.json["message"]], [415, "415: Unsupported Media Type"]);
  const method = await server.request("/api/v1/componentstatuses", { body: {} });
  assert.equal(method.status, 405);
  const name = await server.request(`${maps}/other`, { method: "PUT", body: map({ name: "one" }) });
  assert.equal(name.status, 400);
  const namespace = await server.request(maps, { body: map({ name: "x", namespace: "elsewhere" }) });
  assert.equal(
    namespace.json["message"],
    "the namespace of the provided object does not match the namespace sent on the request",
  );
});

test("follows the rules about resourceVersion in lists", async () => {
  const created = await server.request(maps, { body: map({ name: "rv" }) });
  const old = created.json.metadata.resourceVersion!;
  await server.request(`${maps}/rv`, { method: "PATCH", body: { data: { k: "2" } }, headers: MERGE });
  const exact = await server.request(
    `${maps}?resourceVersion=${old}&resourceVersionMatch=Exact&fieldSelector=metadata.name%3Drv`,
  );
  assert.equal((exact.json["items"] as { data?: object }[])[0]!.data, undefined, exact.text);
  assert.equal(exact.json.metadata.resourceVersion, old);
  const future = await server.request(`${maps}?resourceVersion=999999`);
  assert.equal(future.status, 504);
  const [cause] = (future.json["details"] as { causes: { reason: string }[] }).causes;
  assert.equal(cause!.reason, "ResourceVersionTooLarge");
  const match = await server.request(`${maps}?resourceVersionMatch=Exact`);
  assert.match(String(match.json["message"]), /resourceVersionMatch is forbidden unless resourceVersion is provided/);
  const selector = await server.request(`${maps}?fieldSelector=data.k%3D2`);
  assert.equal(selector.status, 400);
  const known = '"data.k" is not a known field selector: only "metadata.name", "metadata.namespace"';
  assert.equal(selector.json["message"], known);
});

test("lets continue tokens expire with the history, and offers to go on inconsistently", async () => {
  const path = "/api/v1/namespaces/chunks/configmaps";
  for (const name of ["a", "b", "c"]) await server.request(path, { body: map({ name }) });
  const first = await server.request(`${path}?limit=1`);
  const token = (first.json.metadata as unknown as { continue: string }).continue;
  await server.request(path, { body: map({ name: "bb" }) });
  await server.cacher.store.compact(await server.cacher.store.currentRevision());
  const expired = await server.request(`${path}?limit=1&continue=${token}`);
  assert.equal(expired.status, 410, expired.text);
  assert.equal(expired.json["reason"], "Expired");
  const fresh = (expired.json.metadata as unknown as { continue: string }).continue;
  const rest = await server.request(`${path}?continue=${fresh}`);
  assert.deepEqual(
    (rest.json["items"] as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name),
    ["b", "bb", "c"],
  );
});

test("retries patches that lose a race, refuses those that name a version", async () => {
  await server.request(maps, { body: map({ name: "race" }) });
  const all = await Promise.all(
    Array.from({ length: 5 }, (_, i) =>
      server.request(`${maps}/race`, { method: "PATCH", body: { data: { [`k${i}`]: "v" } }, headers: MERGE }),
    ),
  );
  assert.deepEqual(
    all.map(({ status }) => status),
    [200, 200, 200, 200, 200],
  );
  const { json } = await server.request(`${maps}/race`);
  assert.equal(Object.keys(json["data"] as object).length, 5);
  const stale = { metadata: { resourceVersion: "1" }, data: { x: "y" } };
  const refused = await server.request(`${maps}/race`, { method: "PATCH", body: stale, headers: MERGE });
  assert.equal(refused.status, 409);
});

test("deletes a collection by selector and answers with what it was", async () => {
  for (const name of ["d1", "d2"]) await server.request(maps, { body: map({ name, labels: { del: "yes" } }) });
  const deleted = await server.request(`${maps}?labelSelector=del%3Dyes`, { method: "DELETE" });
  assert.equal((deleted.json["items"] as unknown[]).length, 2);
  const left = await server.request(`${maps}?labelSelector=del%3Dyes`);
  assert.equal((left.json["items"] as unknown[]).length, 0);
});

test("ends a namespace through finalize only", async () => {
  await server.request("/api/v1/namespaces", { body: { metadata: { name: "ending" } } });
  const first = await server.request("/api/v1/namespaces/ending", { method: "DELETE" });
  assert.equal((first.json["status"] as { phase: string }).phase, "Terminating");
  const second = await server.request("/api/v1/namespaces/ending", { method: "DELETE" });
  assert.equal(second.status, 200);
  assert.deepEqual(second.json, first.json);
  const put = { ...first.json, spec: { finalizers: [] } };
  const finalized = await server.request("/api/v1/namespaces/ending/finalize", { method: "PUT", body: put });
  assert.equal(finalized.status, 200, finalized.text);
  assert.equal((await server.request("/api/v1/namespaces/ending")).status, 404);
});
