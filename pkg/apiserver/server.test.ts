import assert from "node:assert/strict";
import { connect as connectTcp } from "node:net";
import { after, before, test } from "node:test";
import { connect } from "node:http2";
import { get } from "node:https";
import { decodeEnvelope } from "#pkg/apimachinery/protobuf/index.ts";
import { issueCertificate } from "#pkg/pki/index.ts";
import { ADMIN, startTestServer, type TestServer } from "./testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.close());

const configMap = (name: string, data: Record<string, string> = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data,
});

test("creates, reads, updates, patches and deletes an object", async () => {
  const created = await server.request("/api/v1/namespaces/default/configmaps", { body: configMap("a", { x: "1" }) });
  assert.equal(created.status, 201, created.text);
  assert.equal(created.json.metadata.namespace, "default");
  assert.match(created.json.metadata.uid ?? "", /^[0-9a-f-]{36}$/);
  const got = await server.request("/api/v1/namespaces/default/configmaps/a");
  assert.deepEqual(got.json, created.json);
  const again = await server.request("/api/v1/namespaces/default/configmaps", { body: configMap("a") });
  assert.equal(again.status, 409);
  assert.equal(again.json["message"], 'configmaps "a" already exists');

  const put = await server.request("/api/v1/namespaces/default/configmaps/a", {
    method: "PUT",
    body: { ...got.json, data: { x: "2" } },
  });
  assert.equal(put.status, 200, put.text);
  assert.notEqual(put.json.metadata.resourceVersion, got.json.metadata.resourceVersion);
  const stale = await server.request("/api/v1/namespaces/default/configmaps/a", { method: "PUT", body: got.json });
  assert.equal(stale.status, 409);

  const patched = await server.request("/api/v1/namespaces/default/configmaps/a", {
    method: "PATCH",
    body: { data: { y: "3" } },
    headers: { "content-type": "application/merge-patch+json" },
  });
  assert.deepEqual(patched.json["data"], { x: "2", y: "3" });
  const deleted = await server.request("/api/v1/namespaces/default/configmaps/a", { method: "DELETE" });
  assert.equal(deleted.status, 200);
  assert.equal(deleted.json["status"], "Success");
  const missing = await server.request("/api/v1/namespaces/default/configmaps/a");
  assert.equal(missing.status, 404);
  assert.equal(missing.json["message"], 'configmaps "a" not found');
});

test("lists by joining stored bytes, in chunks with continue tokens", async () => {
  for (const name of ["l1", "l2", "l3"]) {
    await server.request("/api/v1/namespaces/lists/configmaps", { body: configMap(name) });
  }
  const list = await server.request("/api/v1/namespaces/lists/configmaps");
  const items = list.json["items"] as unknown as { metadata: { name: string }; kind?: string }[];
  assert.deepEqual(
    items.map((item) => item.metadata.name),
    ["l1", "l2", "l3"],
  );
  assert.equal(items[0]!.kind, undefined);
  assert.equal(list.json.kind, "ConfigMapList");

  const first = await server.request("/api/v1/namespaces/lists/configmaps?limit=2");
  const meta = first.json.metadata as unknown as { continue: string; remainingItemCount: number };
  assert.equal(meta.remainingItemCount, 1);
  const second = await server.request(`/api/v1/namespaces/lists/configmaps?limit=2&continue=${meta.continue}`);
  assert.equal((second.json["items"] as unknown as unknown[]).length, 1);
  assert.equal(second.json.metadata.resourceVersion, first.json.metadata.resourceVersion);
});

test("watches: initial state, changes, selector transitions, bookmarks", async () => {
  await server.request("/api/v1/namespaces/watched/configmaps", {
    body: { ...configMap("w1"), metadata: { name: "w1", labels: { app: "x" } } },
  });
  const watch = await server.watch("/api/v1/namespaces/watched/configmaps?watch=1&labelSelector=app%3Dx");
  assert.equal(watch.status, 200);
  assert.equal((await watch.next()).type, "ADDED");
  const relabel = (value: string) =>
    server.request("/api/v1/namespaces/watched/configmaps/w1", {
      method: "PATCH",
      body: { metadata: { labels: { app: value } } },
      headers: { "content-type": "application/merge-patch+json" },
    });
  await relabel("y");
  const gone = await watch.next();
  assert.equal(gone.type, "DELETED");
  assert.equal(gone.object.metadata.labels?.["app"], "x");
  await relabel("x");
  assert.equal((await watch.next()).type, "ADDED");
  watch.close();

  const streaming = await server.watch(
    "/api/v1/namespaces/watched/configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
  );
  assert.equal((await streaming.next()).type, "ADDED");
  const bookmark = await streaming.next();
  assert.equal(bookmark.type, "BOOKMARK");
  assert.equal(bookmark.object.metadata.annotations?.["k8s.io/initial-events-end"], "true");
  streaming.close();

  const lean = await server.watch("/api/v1/namespaces/watched/configmaps?watch=1", {
    accept: "application/json;managedfields=omit",
  });
  const { json: whole } = await server.request("/api/v1/namespaces/watched/configmaps/w1");
  const { managedFields, ...metadata } = whole.metadata;
  assert.ok(managedFields !== undefined);
  assert.deepEqual(await lean.next(), { type: "ADDED", object: { ...whole, metadata } });
  await relabel("z");
  assert.deepEqual((await lean.next()).object.metadata.managedFields, undefined);
  await server.request("/api/v1/namespaces/watched/configmaps/w1", { method: "DELETE" });
  const deleted = await lean.next();
  assert.deepEqual([deleted.type, deleted.object.metadata.managedFields], ["DELETED", undefined]);
  assert.equal(deleted.object.metadata.labels?.["app"], "z");
  lean.close();
});

interface DiscoveredGroup {
  readonly versions: readonly {
    readonly resources: readonly {
      readonly resource: string;
      readonly scope: string;
      readonly responseKind: object;
      readonly subresources: readonly { readonly subresource: string; readonly responseKind: object }[];
    }[];
  }[];
}

test("serves discovery, version and health", async () => {
  const groups = await server.request("/apis");
  assert.equal(groups.json.kind, "APIGroupList");
  const listed = await server.request("/api/v1");
  assert.ok((listed.json["resources"] as unknown as { name: string }[]).some(({ name }) => name === "pods/log"));
  // The core group's documents have no version of their own, as they never had.
  const versions = [listed, await server.request("/api"), await server.request("/apis/apps/v1"), groups];
  assert.deepEqual(
    versions.map(({ json }) => json.apiVersion),
    [undefined, undefined, "v1", "v1"],
  );
  const paths = (await server.request("/")).json["paths"] as unknown as string[];
  for (const path of ["/api/v1", "/apis/apps", "/apis/apps/v1", "/livez/ping", "/metrics", "/version"]) {
    assert.ok(paths.includes(path), path);
  }
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
  const aggregated = await server.request("/apis", { headers: { accept } });
  assert.equal(aggregated.json.kind, "APIGroupDiscoveryList");
  assert.match(String(aggregated.headers["content-type"]), /APIGroupDiscoveryList/);
  const cached = await server.request("/apis", {
    headers: { accept, "if-none-match": String(aggregated.headers["etag"]) },
  });
  assert.equal(cached.status, 304);
  const raw = { accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" };
  const core = (await server.request("/api", { headers: raw })).json["items"] as unknown as DiscoveredGroup[];
  const pods = core[0]?.versions[0]?.resources.find(({ resource }) => resource === "pods");
  assert.deepEqual(pods?.responseKind, { group: "", version: "", kind: "Pod" });
  assert.equal(pods.scope, "Namespaced");
  assert.deepEqual(pods.subresources.find(({ subresource }) => subresource === "eviction")?.responseKind, {
    group: "policy",
    version: "v1",
    kind: "Eviction",
  });
  const other = { accept: raw.accept.replace("v=v2", "v=v99") };
  assert.equal((await server.request("/apis", { headers: other })).status, 406);
  const fallback = { accept: `${other.accept},application/json` };
  assert.equal((await server.request("/apis", { headers: fallback })).json.kind, "APIGroupList");
  assert.equal((await server.request("/version")).json["minor"], "36");
  assert.equal((await server.request("/readyz")).text, "ok");
  assert.match((await server.request("/livez?verbose")).text, /\[\+\]ping ok\n\[\+\]log ok\n\[\+\]etcd ok\n/);
  for (const check of ["livez/etcd", "readyz/etcd-readiness", "readyz/informer-sync"]) {
    assert.equal((await server.request(`/${check}`)).text, "ok", check);
  }
});

test("answers misses of the router as upstream's does", async () => {
  const status = "the server could not find the requested resource";
  const cases: readonly [method: string, path: string, code: number, text: string][] = [
    ["GET", "/nope", 404, "404 page not found\n"],
    ["POST", "/apis/nope", 404, "404 page not found\n"],
    ["GET", "/apis/nope/v1/things", 404, "404 page not found\n"],
    ["GET", "/healthz/nope", 404, "404 page not found\n"],
    ["GET", "/api/v9", 404, status],
    ["GET", "/apis/apps/v9", 404, status],
    ["GET", "/apis/apps/v1/nope", 404, status],
    ["GET", "/version/nope", 404, status],
    ["POST", "/version", 405, "the server does not allow this method on the requested resource"],
    ["PUT", "/api/v1", 405, "the server does not allow this method on the requested resource"],
    ["DELETE", "/apis/apps/v1", 405, "the server does not allow this method on the requested resource"],
    ["POST", "/apis/apps", 200, '"kind":"APIGroup"'],
  ];
  for (const [method, path, code, text] of cases) {
    const answer = await server.request(path, { method, ...(method === "GET" ? {} : { body: {} }) });
    assert.equal(answer.status, code, path);
    assert.ok(answer.text.includes(text), `${path}: ${answer.text}`);
    assert.equal(String(answer.headers["content-type"]).startsWith("text/plain"), text.endsWith("\n"), path);
  }
  const types = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
  const unacceptable: readonly [path: string, accept: string, message: string][] = [
    ["/version", "text/html", "406: Not Acceptable\n\nAvailable representations: application/json"],
    ["/apis/apps/v1", "text/html", `406: Not Acceptable\n\nAvailable representations: ${types}`],
    [
      "/api/v1/pods",
      "text/html",
      `406: Not Acceptable\n\nAvailable representations: ${types}, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch`,
    ],
    ["/api/v1/pods", "application/json;as=Nope", `only the following media types are accepted: ${types}`],
  ];
  for (const [path, accept, message] of unacceptable) {
    const { status: code, json } = await server.request(path, { headers: { accept } });
    assert.deepEqual([code, json["message"]], [406, message]);
  }
  for (const word of ["__proto__", "constructor"]) {
    const { status: code } = await server.request("/api/v1/pods", { headers: { accept: word } });
    assert.equal(code, 406, word);
    for (const method of ["POST", "PATCH"]) {
      const path = "/api/v1/namespaces/default/configmaps/x".slice(0, method === "POST" ? -2 : undefined);
      const sent = await server.request(path, { method, body: {}, headers: { "content-type": word } });
      assert.equal(sent.status, 415, `${method} ${word}`);
    }
  }
  const unknown = await server.request("/api/v1/componentstatuses?fieldSelector=a=b");
  assert.equal(unknown.status, 400);
});

test("every answer says what audit logs call its request, which the client may choose", async () => {
  const made = new Set<unknown>();
  for (const path of ["/healthz", "/nothing", "/api/v1/pods", "/api/v1/pods?limit=x"]) {
    const { "audit-id": id } = (await server.request(path)).headers;
    assert.match(String(id), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, path);
    made.add(id);
    const chosen = await server.request(path, { headers: { "Audit-ID": "my own" } });
    assert.equal(chosen.headers["audit-id"], "my own", path);
  }
  assert.equal(made.size, 4);
});

test("says what is wrong with a patch only of what there is, and with a version that is none", async () => {
  const maps = "/api/v1/namespaces/default/configmaps";
  const patch = { method: "PATCH", headers: { "content-type": "application/merge-patch+json" } };
  assert.equal((await server.request(`${maps}/nope`, { ...patch, body: [] })).status, 404);
  await server.request(maps, { body: { metadata: { name: "there" } } });
  assert.equal((await server.request(`${maps}/there`, { ...patch, body: [] })).status, 400);
  const body = { metadata: { name: "there", resourceVersion: "abc" } };
  for (const how of [{ method: "PUT" }, patch]) {
    const { status, json } = await server.request(`${maps}/there`, { ...how, body });
    assert.deepEqual([status, json["message"]], [400, 'strconv.ParseUint: parsing "abc": invalid syntax']);
  }
});

test("closes connections that take too long over a request's head, and answers nonsense in plain text", async () => {
  const impatient = await server.api.listen({ host: "127.0.0.1", port: 0, headersTimeoutMs: 100 });
  const patient = await server.api.listen({ host: "127.0.0.1", port: 0 });
  const answerTo = (text: string, { port } = patient): Promise<string> =>
    new Promise((resolve, reject) => {
      let answer = "";
      const socket = connectTcp(port, "127.0.0.1", () => socket.write(text));
      socket.setEncoding("utf8").on("data", (chunk: string) => (answer += chunk));
      socket.on("error", reject).on("close", () => resolve(answer));
    });
  try {
    assert.equal(await answerTo("GET /livez HTTP/1.1\r\nHost: a\r\n", impatient), "");
    assert.equal(await answerTo("", impatient), "");
    assert.match(await answerTo("nonsense\r\n\r\n"), /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\n400 Bad Request$/);
    const long = `GET / HTTP/1.1\r\nx: ${"y".repeat(1024 * 1024 + 1)}\r\n\r\n`;
    assert.match(await answerTo(long), /^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/);
  } finally {
    await Promise.all([impatient.close(), patient.close()]);
  }
});

test("refuses paths that try tricks", async () => {
  for (const path of ["/api/v1//pods", "/api/v1/namespaces/..%2Fkube-system/pods", "/api/v1/namespaces/%2e%2e/pods"]) {
    assert.equal((await server.request(path)).status, 400, path);
  }
  assert.equal((await server.request("/api/v1/nonsense")).status, 404);
  assert.equal((await server.request("/nonsense")).status, 404);
});

const pod = (name: string, labels: Record<string, string> = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels },
  spec: { containers: [{ name: "c", image: "busybox" }] },
});
const strategic = { "content-type": "application/strategic-merge-patch+json" };

test("binds a pod once", async () => {
  await server.request("/api/v1/namespaces/default/pods", { body: pod("bound") });
  const binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name: "bound" },
    target: { kind: "Node", name: "n1" },
  };
  const first = await server.request("/api/v1/namespaces/default/pods/bound/binding", { body: binding });
  assert.equal(first.status, 201, first.text);
  const got = await server.request("/api/v1/namespaces/default/pods/bound");
  assert.equal((got.json["spec"] as { nodeName: string }).nodeName, "n1");
  const second = await server.request("/api/v1/namespaces/default/pods/bound/binding", { body: binding });
  assert.equal(second.status, 409);
  const unnamed = { ...binding, metadata: {} };
  for (const [path, message] of [
    ["pods/bound/binding", "name in URL does not match name in Binding object"],
    ["bindings", "Name parameter required."],
  ]) {
    const { status, json } = await server.request(`/api/v1/namespaces/default/${path}`, { body: unnamed });
    assert.deepEqual([status, json["message"]], [400, message]);
  }
  assert.equal(
    second.json["message"],
    'Operation cannot be fulfilled on pods/binding "bound": pod bound is already assigned to node "n1"',
  );
});

test("evicts within the disruption budget only", async () => {
  const path = "/api/v1/namespaces/evict/pods";
  await server.request(path, { body: pod("p", { app: "e" }) });
  await server.request(`${path}/p/status`, {
    method: "PATCH",
    body: { status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] } },
    headers: strategic,
  });
  const budgets = "/apis/policy/v1/namespaces/evict/poddisruptionbudgets";
  await server.request(budgets, {
    body: {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: { name: "b" },
      spec: { minAvailable: 1, selector: { matchLabels: { app: "e" } } },
    },
  });
  const status = (disruptionsAllowed: number) =>
    server.request(`${budgets}/b/status`, {
      method: "PATCH",
      body: {
        status: { observedGeneration: 1, disruptionsAllowed, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
      },
      headers: { "content-type": "application/merge-patch+json" },
    });
  const evict = () =>
    server.request(`${path}/p/eviction`, {
      body: { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "p" } },
    });
  await status(0);
  const refused = await evict();
  assert.equal(refused.status, 429, refused.text);
  assert.equal((refused.json["details"] as { causes: { reason: string }[] }).causes[0]!.reason, "DisruptionBudget");
  await status(1);
  assert.equal((await evict()).status, 201);
  assert.equal((await server.request(`${path}/p`)).status, 404);
});

test("applies, owns and refuses conflicting fields", async () => {
  const path = "/api/v1/namespaces/default/configmaps/applied";
  const apply = (manager: string, value: string) =>
    server.request(`${path}?fieldManager=${manager}`, {
      method: "PATCH",
      body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "applied" }, data: { k: value } },
      headers: { "content-type": "application/apply-patch+yaml" },
    });
  const created = await apply("one", "1");
  assert.equal(created.status, 201, created.text);
  assert.equal(created.json.metadata.managedFields?.[0]?.manager, "one");
  const conflict = await apply("two", "2");
  assert.equal(conflict.status, 409);
  assert.match(String(conflict.json["message"]), /conflict with "one": \.data\.k/);
  // Inside an atomic field nobody looks at the types until the object is decoded.
  const budget = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/wrong?fieldManager=one";
  const wrong = await server.request(budget, {
    method: "PATCH",
    body: { apiVersion: "policy/v1", kind: "PodDisruptionBudget", spec: { selector: { matchLabels: { x: true } } } },
    headers: { "content-type": "application/apply-patch+yaml" },
  });
  assert.equal(wrong.status, 400, wrong.text);
});

test("serves tables, metadata and protobuf", async () => {
  const pods = "/api/v1/namespaces/default/pods";
  const itemsOf = (json: object) => (json as unknown as { items: { metadata: object }[] }).items;
  await server.request(pods, { body: pod("listed") });
  const plain = await server.request(pods);
  const metadata = itemsOf(plain.json).map((item) => item.metadata);
  assert.ok(metadata.length > 1);
  const as = (kind: string) => ({ accept: `application/json;as=${kind};v=v1;g=meta.k8s.io,application/json` });
  const expected = metadata.map((own) => ({
    kind: "PartialObjectMetadata",
    apiVersion: "meta.k8s.io/v1",
    metadata: own,
  }));
  const refused = await server.request(`${pods}?includeObject=All`, { headers: as("Table") });
  assert.equal(
    refused.json["message"],
    "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must be 'Metadata', 'Object', 'None', or empty",
  );
  for (const include of ["None", "Metadata", "Object"]) {
    const table = await server.request(`${pods}?includeObject=${include}`, { headers: as("Table") });
    assert.equal(table.json.kind, "Table");
    const rows = table.json["rows"] as { cells: unknown[]; object?: { metadata: object } }[];
    const columns = table.json["columnDefinitions"] as { name: string }[];
    assert.deepEqual(
      rows.map(({ cells }) => cells[columns.findIndex(({ name }) => name === "Name")]),
      metadata.map((own) => (own as { name: string }).name),
    );
    const shown = rows.map(({ object }) => object);
    if (include === "Metadata") assert.deepEqual(shown, expected);
    else
      assert.deepEqual(
        shown.map((object) => object?.metadata),
        include === "None" ? metadata.map(() => undefined) : metadata,
      );
  }
  const beta = (kind: string) => ({ accept: `application/json;as=${kind};v=v1beta1;g=meta.k8s.io` });
  for (const path of [pods, `${pods}/bound`]) {
    const table = (await server.request(path, { headers: beta("Table") })).json;
    assert.equal(table.apiVersion, "meta.k8s.io/v1beta1");
    const rows = table["rows"] as { object: { apiVersion: string } }[];
    assert.equal(rows[0]!.object.apiVersion, "meta.k8s.io/v1beta1");
    const kind = path === pods ? "PartialObjectMetadataList" : "PartialObjectMetadata";
    assert.equal((await server.request(path, { headers: beta(kind) })).json.apiVersion, "meta.k8s.io/v1beta1");
  }
  const empty = await server.request("/api/v1/namespaces/empty/pods", { headers: as("Table") });
  assert.deepEqual(empty.json["rows"], []);
  const partial = await server.request(pods, { headers: as("PartialObjectMetadataList") });
  assert.equal(partial.json.kind, "PartialObjectMetadataList");
  assert.deepEqual(itemsOf(partial.json), expected);
  const one = await server.request(`${pods}/bound`, { headers: as("PartialObjectMetadata") });
  assert.deepEqual(
    one.json,
    expected.find((own) => (own.metadata as { name: string }).name === "bound"),
  );
  const accept = "application/vnd.kubernetes.protobuf";
  const binary = await server.request("/api/v1/namespaces/default/pods/bound", { headers: { accept } });
  assert.equal(binary.bytes.subarray(0, 4).toString("latin1"), "k8s\0");
  const list = await server.request("/api/v1/namespaces/default/pods", { headers: { accept } });
  const decoded = decodeEnvelope(list.bytes) as { items: { metadata: { name: string } }[] };
  assert.equal(decoded.items[0]!.metadata.name, "bound");
});

test("speaks HTTP/1.1 and knows client certificates over both protocols", async () => {
  const seen: (boolean | undefined)[] = [];
  const own = await startTestServer({
    authenticator: {
      authenticate: (request) => {
        if (request.url === "/version") seen.push(request.peer.certificateVerified);
        return Promise.resolve(ADMIN);
      },
    },
  });
  after(() => own.close());
  const client = await issueCertificate(own.ca, {
    commonName: "u",
    usages: ["client"],
    validityDays: 1,
    now: Date.now(),
  });
  const url = `https://127.0.0.1:${own.listener.port}/version`;
  const status = await new Promise<number | undefined>((resolve, reject) => {
    get(url, { ca: own.ca.cert, agent: false, ...client }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    }).on("error", reject);
  });
  assert.equal(status, 200);
  const session = connect(url, { ca: own.ca.cert, ...client });
  await new Promise((resolve, reject) => {
    const stream = session.request({ ":path": "/version" });
    stream.resume();
    stream.on("end", resolve);
    stream.on("error", reject);
  });
  session.close();
  assert.deepEqual(seen, [true, true]);
});

test("counts requests and shows the state of components", async () => {
  const { text } = await server.request("/metrics");
  assert.match(text, /apiserver_request_total\{code="201",.*resource="configmaps".*verb="POST"\} \d+/);
  assert.match(text, /apiserver_storage_objects\{resource="pods"\} \d+/);
  assert.match(text, /^apiserver_storage_size_bytes\{storage_cluster_id="etcd-0"\} [1-9]/m);
  assert.match(text, /^etcd_requests_total\{operation="create",group="",resource="configmaps"\} [1-9]/m);
  assert.match(text, /^authentication_attempts\{result="success"\} [1-9]/m);
  assert.match(text, /^authorization_duration_seconds_count\{result="allowed"\} [1-9]/m);
  assert.match(text, /^apiserver_tls_handshake_errors_total \d+$/m);
  const list = await server.request("/api/v1/componentstatuses");
  const items = list.json["items"] as { conditions: { status: string }[] }[];
  assert.equal(items[0]!.conditions[0]!.status, "True");
});
