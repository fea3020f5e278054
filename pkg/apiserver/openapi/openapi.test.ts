import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestServer, type TestServer } from "../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer({
    descriptions: () => ({
      texts: {
        "io.k8s.api.core.v1.Pod": { "": "About pods." },
        "io.k8s.api.core.v1.PodSpec": { "": "About specs." },
      },
      enums: { "io.k8s.api.core.v1.PodSpec": { dnsPolicy: ["Default", "None"] } },
    }),
  });
});
after(() => server.close());

type Schemas = Record<string, { description?: string; properties: Record<string, Record<string, unknown>> }>;

test("publishes version 3 per group version, each complete in itself", async () => {
  const index = await server.request("/openapi/v3");
  const paths = index.json["paths"] as Record<string, { serverRelativeURL: string }>;
  assert.ok(paths["apis/apps/v1"]);
  const document = await server.request(paths["api/v1"]!.serverRelativeURL);
  assert.equal(document.headers["cache-control"], "public, immutable");
  const { schemas } = document.json["components"] as { schemas: Schemas };
  const pod = schemas["io.k8s.api.core.v1.Pod"]!;
  assert.equal(pod.description, "About pods.");
  assert.deepEqual(pod.properties["spec"], {
    description: "About specs.",
    default: {},
    allOf: [{ $ref: "#/components/schemas/io.k8s.api.core.v1.PodSpec" }],
  });
  const containerRef = { allOf: [{ $ref: "#/components/schemas/io.k8s.api.core.v1.Container" }], default: {} };
  for (const [definition, field, shape] of [
    ["core.v1.ContainerPort", "protocol", { default: "TCP" }],
    ["core.v1.ContainerPort", "containerPort", { default: 0 }],
    ["core.v1.ContainerPort", "hostPort", { default: undefined }],
    ["core.v1.ContainerStatus", "ready", { default: false }],
    ["core.v1.Event", "reportingComponent", { default: "" }],
    ["core.v1.LocalObjectReference", "name", { default: "" }],
    ["core.v1.ContainerStateRunning", "startedAt", { default: undefined }],
    ["core.v1.HTTPGetAction", "port", { default: undefined }],
    ["core.v1.PodSpec", "containers", { items: containerRef, default: undefined }],
    ["core.v1.PodSpec", "nodeSelector", { additionalProperties: { type: "string", default: "" } }],
    ["core.v1.Secret", "data", { additionalProperties: { type: "string", format: "byte" } }],
  ] as const) {
    const published = schemas[`io.k8s.api.${definition}`]!.properties[field]!;
    for (const [word, value] of Object.entries(shape))
      assert.deepEqual(published[word], value, `${definition} ${field}`);
  }
  const referenced = new Set(
    Array.from(document.text.matchAll(/"#\/components\/schemas\/([^"]+)"/g), ([, name]) => name!),
  );
  for (const name of referenced) assert.ok(schemas[name], name);
  const stale = await server.request("/openapi/v3/api/v1?hash=OLD");
  assert.equal(stale.status, 301);
  assert.equal(stale.headers["location"], paths["api/v1"]!.serverRelativeURL);
});

test("each group version has a document of its own, also where versions serve the same names", async () => {
  const index = await server.request("/openapi/v3");
  const paths = index.json["paths"] as Record<string, { serverRelativeURL: string }>;
  const urls = Object.values(paths).map(({ serverRelativeURL }) => serverRelativeURL.replace(/.*hash=/, ""));
  assert.equal(new Set(urls).size, urls.length);
  for (const version of ["v1", "v2"]) {
    const { json } = await server.request(paths[`apis/autoscaling/${version}`]!.serverRelativeURL);
    const own = `/apis/autoscaling/${version}/namespaces/{namespace}/horizontalpodautoscalers`;
    assert.ok((json["paths"] as object)[own as never], own);
    const { schemas } = json["components"] as { schemas: Schemas };
    assert.ok(schemas[`io.k8s.api.autoscaling.${version}.HorizontalPodAutoscaler`]);
  }
});

test("describes discovery and what the server says of itself", async () => {
  const index = (await server.request("/openapi/v3")).json["paths"] as Record<string, { serverRelativeURL: string }>;
  const v2 = (await server.request("/openapi/v2")).json["paths"] as Record<string, { get: { operationId: string } }>;
  const cases: readonly [name: string, operation: string, definition?: string][] = [
    ["version", "getCodeVersion", "io.k8s.apimachinery.pkg.version.Info"],
    ["api", "getCoreAPIVersions", "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions"],
    ["apis", "getAPIVersions", "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList"],
    ["apis/apps", "getAppsAPIGroup", "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup"],
    ["apis/apps/v1", "getAppsV1APIResources", "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList"],
    ["openid/v1/jwks", "getServiceAccountIssuerOpenIDKeyset"],
    [".well-known/openid-configuration", "getServiceAccountIssuerOpenIDConfiguration"],
  ];
  for (const [name, operation, definition] of cases) {
    const { json } = await server.request(index[name]!.serverRelativeURL);
    const paths = json["paths"] as typeof v2;
    for (const described of [paths, v2]) assert.equal(described[`/${name}/`]!.get.operationId, operation);
    const { schemas = {} } = json["components"] as { schemas?: Schemas };
    if (definition !== undefined) assert.ok(schemas[definition], definition);
  }
});

const PROTOBUF = (version: string): string => `application/com.github.proto-openapi.spec.${version}@v1.0+protobuf`;

test("publishes both versions as JSON and as protobuf", async () => {
  const { paths: index } = (await server.request("/openapi/v3")).json as unknown as {
    paths: Record<string, { serverRelativeURL: string }>;
  };
  const json = await server.request("/openapi/v2");
  const definitions = json.json["definitions"] as Schemas;
  for (const [, name = ""] of json.text.matchAll(/"#\/definitions\/([^"]+)"/g)) assert.ok(definitions[name], name);
  const parameters = json.json["parameters"] as object;
  const shared = Array.from(json.text.matchAll(/"#\/parameters\/([^"]+)"/g), ([, name]) => name!);
  assert.deepEqual(Object.keys(parameters).sort(), [...new Set(shared)].sort());
  const cases: readonly [path: string, version: "v2" | "v3", head: string][] = [
    ["/openapi/v2", "v2", "2.0"],
    [index["apis/apps/v1"]!.serverRelativeURL, "v3", "3.0.0"],
    [index["version"]!.serverRelativeURL, "v3", "3.0.0"],
  ];
  for (const [path, version, head] of cases) {
    const binary = await server.request(path, { headers: { accept: PROTOBUF(version) } });
    assert.equal(binary.headers["content-type"], PROTOBUF(version).replace("@", "."));
    assert.deepEqual(
      binary.bytes.subarray(0, 2 + head.length),
      Buffer.from(`\n${String.fromCharCode(head.length)}${head}`),
    );
    const refused = await server.request(path, { headers: { accept: "application/yaml" } });
    assert.deepEqual([refused.status, refused.bytes.length], [406, 0]);
  }
  for (const path of ["/openapi/v2", "/openapi/v3", index["api/v1"]!.serverRelativeURL]) {
    const { headers } = await server.request(path);
    const again = await server.request(path, { headers: { "if-none-match": String(headers["etag"]) } });
    assert.equal(again.status, 304, path);
  }
});

interface Described {
  readonly operationId: string;
  readonly description: string;
  readonly parameters?: readonly { readonly name?: string; readonly $ref?: string }[];
  readonly "x-kubernetes-action": string;
  readonly "x-kubernetes-group-version-kind": { readonly kind: string };
}

test("operations are named, described and given parameters as upstream's are", async () => {
  const document = (await server.request("/openapi/v2")).json as unknown as {
    paths: Record<string, Record<string, Described> & { parameters?: Described["parameters"] }>;
  };
  const pod = "/api/v1/namespaces/{namespace}/pods/{name}";
  const options = "allowWatchBookmarks continue fieldSelector labelSelector limit pretty resourceVersion";
  const more = "resourceVersionMatch sendInitialEvents shardSelector timeoutSeconds watch";
  const table: [path: string, method: string, id: string, action: string, kind: string, about: string, own: string][] =
    [
      [pod, "get", "readCoreV1NamespacedPod", "get", "Pod", "read the specified Pod", ""],
      [
        pod,
        "patch",
        "patchCoreV1NamespacedPod",
        "patch",
        "Pod",
        "partially update the specified Pod",
        "body dryRun fieldManager fieldValidation force",
      ],
      [
        "/api/v1/namespaces/{namespace}/pods",
        "delete",
        "deleteCoreV1CollectionNamespacedPod",
        "deletecollection",
        "Pod",
        "delete collection of Pod",
        `body continue dryRun fieldSelector gracePeriodSeconds ignoreStoreReadErrorWithClusterBreakingPotential labelSelector limit orphanDependents propagationPolicy resourceVersion resourceVersionMatch sendInitialEvents shardSelector timeoutSeconds`,
      ],
      [
        "/apis/apps/v1/deployments",
        "get",
        "listAppsV1DeploymentForAllNamespaces",
        "list",
        "Deployment",
        "list or watch objects of kind Deployment",
        `/${options} ${more}`,
      ],
      [
        "/api/v1/watch/nodes/{name}",
        "get",
        "watchCoreV1Node",
        "watch",
        "Node",
        "watch changes to an object of kind Node. deprecated: use the 'watch' parameter with a list operation instead, filtered to a single item with the 'fieldSelector' parameter.",
        `/${options.replace("pretty", "name pretty")} ${more}`,
      ],
      [
        "/api/v1/watch/pods",
        "get",
        "watchCoreV1PodListForAllNamespaces",
        "watchlist",
        "Pod",
        "watch individual changes to a list of Pod. deprecated: use the 'watch' parameter with a list operation instead.",
        `/${options} ${more}`,
      ],
      [
        `${pod}/exec`,
        "post",
        "connectCoreV1PostNamespacedPodExec",
        "connect",
        "PodExecOptions",
        "connect POST requests to exec of Pod",
        "/command container name namespace stderr stdin stdout tty",
      ],
      [
        `${pod}/proxy/{path}`,
        "options",
        "connectCoreV1OptionsNamespacedPodProxyWithPath",
        "connect",
        "PodProxyOptions",
        "connect OPTIONS requests to proxy of Pod",
        "/name namespace path path",
      ],
      [
        `${pod}/log`,
        "get",
        "readCoreV1NamespacedPodLog",
        "get",
        "Pod",
        "read log of the specified Pod",
        "/container follow insecureSkipTLSVerifyBackend limitBytes name namespace pretty previous sinceSeconds stream tailLines timestamps",
      ],
      [
        `${pod}/eviction`,
        "post",
        "createCoreV1NamespacedPodEviction",
        "post",
        "Eviction",
        "create eviction of a Pod",
        "body",
      ],
      [
        "/api/v1/namespaces/{namespace}/endpoints",
        "post",
        "createCoreV1NamespacedEndpoints",
        "post",
        "Endpoints",
        "create Endpoints",
        "body dryRun fieldManager fieldValidation",
      ],
    ];
  const nameOf = ({ name, $ref = "" }: { name?: string; $ref?: string }): string =>
    name ?? $ref.replace(/^#\/parameters\/(\w+)-.*/, "$1");
  for (const [path, method, id, action, kind, about, own] of table) {
    const item = document.paths[path]!;
    const operation = item[method]!;
    assert.equal(operation.operationId, id);
    assert.equal(operation["x-kubernetes-action"], action);
    assert.equal(operation["x-kubernetes-group-version-kind"].kind, kind);
    assert.equal(operation.description, about);
    const shown = own.startsWith("/") ? item.parameters : operation.parameters;
    assert.equal((shown ?? []).map(nameOf).join(" "), own.replace(/^\//, ""), path);
  }
});
