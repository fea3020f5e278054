// An extension API server that tests run as a pod: node extension.ts CERT KEY PORT GROUP. It trusts the front proxy's
// certificate as the cluster's ConfigMap describes it, delegates authorization, and keeps "flunders" in memory.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, request as httpsRequest } from "node:https";
import type { TLSSocket } from "node:tls";

const [cert = "", key = "", port, group = ""] = process.argv.slice(2);
const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
const VERSION = "v1alpha1";
const ROOT = `/apis/${group}/${VERSION}`;

interface Flunder {
  readonly metadata: { readonly name: string; readonly namespace: string; resourceVersion?: string; uid?: string };
  readonly [field: string]: unknown;
}
type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** A request to the cluster's own API server as the pod's service account. */
function kubernetes<T>(path: string, body?: object): Promise<T> {
  return new Promise((resolve, reject) => {
    const token = readFileSync(`${ACCOUNT}/token`, "utf8");
    const options = {
      host: "kubernetes.default.svc",
      path,
      method: body === undefined ? "GET" : "POST",
      ca: readFileSync(`${ACCOUNT}/ca.crt`),
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    };
    const outgoing = httpsRequest(options, (response) => {
      let text = "";
      response.on("data", (chunk) => (text += chunk));
      response.on("end", () =>
        (response.statusCode ?? 500) < 300 ? resolve(JSON.parse(text) as T) : reject(new Error(`${path}: ${text}`)),
      );
    });
    outgoing.on("error", reject);
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const config = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
const { data } = await kubernetes<{ data: Record<string, string> }>(config);
const proxyCa = data["requestheader-client-ca-file"]!;
const allowedNames = JSON.parse(data["requestheader-allowed-names"]!) as string[];
const headerName = (setting: string): string => (JSON.parse(data[setting]!) as string[])[0]!.toLowerCase();
const userHeader = headerName("requestheader-username-headers");
const groupHeader = headerName("requestheader-group-headers");

/** Who asks: believed only from the front proxy. */
function userOf({ socket, headers }: IncomingMessage): { user: string; groups: string[] } | undefined {
  const peer = (socket as TLSSocket).getPeerCertificate();
  if (peer.raw === undefined) return undefined;
  const presented = new X509Certificate(peer.raw);
  const trusted = presented.verify(new X509Certificate(proxyCa).publicKey);
  if (!trusted || !allowedNames.includes(String(peer.subject.CN))) return undefined;
  const groups = (headers as Headers)[groupHeader];
  return {
    user: String((headers as Headers)[userHeader]),
    groups: Array.isArray(groups) ? groups : String(groups ?? "").split(", "),
  };
}

const store = new Map<string, Flunder>();
const watchers = new Set<(type: string, flunder: Flunder) => void>();
let revision = 0;
function change(type: string, flunder: Flunder): Flunder {
  flunder.metadata.resourceVersion = String(++revision);
  const id = `${flunder.metadata.namespace}/${flunder.metadata.name}`;
  if (type === "DELETED") store.delete(id);
  else store.set(id, flunder);
  for (const tell of watchers) tell(type, flunder);
  return flunder;
}

const verbs = ["create", "delete", "get", "list", "watch"];
const kind = { kind: "Flunder", apiVersion: `${group}/${VERSION}` };
const documents: Record<string, object> = {
  [ROOT]: {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: `${group}/${VERSION}`,
    resources: [
      { name: "flunders", singularName: "flunder", namespaced: true, kind: "Flunder", verbs, shortNames: ["fl"] },
    ],
  },
  "/openapi/v2": {
    swagger: "2.0",
    info: { title: "extension", version: "0" },
    paths: {
      [`${ROOT}/flunders`]: {
        get: { responses: { 200: { description: "OK", schema: { $ref: "#/definitions/test.Flunder" } } } },
      },
      "/apis/elsewhere/v1/things": { get: { responses: { 200: { description: "OK" } } } },
    },
    definitions: {
      "test.Flunder": { type: "object", description: "Flunder is a test" },
      "test.Unused": { type: "object" },
    },
  },
  "/openapi/v3": { paths: { [ROOT.slice(1)]: { serverRelativeURL: `/openapi/v3${ROOT}?hash=ABC` } } },
  [`/openapi/v3${ROOT}`]: {
    openapi: "3.0.0",
    info: { title: "extension", version: "0" },
    paths: {
      [`${ROOT}/namespaces/{namespace}/flunders/{name}`]: {
        get: { "x-kubernetes-group-version-kind": { group, version: VERSION, kind: "Flunder" }, responses: {} },
      },
    },
    components: {
      schemas: {
        "test.Flunder": {
          type: "object",
          description: "Flunder is a test",
          properties: { reference: { type: "string", description: "What it is about." } },
          "x-kubernetes-group-version-kind": [{ group, version: VERSION, kind: "Flunder" }],
        },
      },
    },
  },
};

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "https://extension");
  const send = (code: number, body: object): void =>
    void response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body));
  if (url.pathname === "/ready") return send(200, {});
  const status = (code: number, reason: string) =>
    send(code, { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message: reason });
  const who = userOf(request);
  if (who === undefined) return status(401, "Unauthorized");
  const document = documents[url.pathname];
  if (document !== undefined) return send(200, document);
  const [, namespace = "", name = ""] = /\/namespaces\/([^/]+)\/flunders(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
  if (namespace === "") return status(404, "NotFound");
  const watching = url.searchParams.get("watch") === "true";
  const verb =
    request.method === "GET"
      ? name === ""
        ? watching
          ? "watch"
          : "list"
        : "get"
      : request.method === "POST"
        ? "create"
        : "delete";
  const resourceAttributes = { group, version: VERSION, resource: "flunders", verb, namespace, name };
  const review = {
    kind: "SubjectAccessReview",
    apiVersion: "authorization.k8s.io/v1",
    spec: { ...who, resourceAttributes },
  };
  const reviewed = await kubernetes<{ status: { allowed: boolean } }>(
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    review,
  );
  if (!reviewed.status.allowed) return status(403, "Forbidden");
  const mine = [...store.values()].filter(({ metadata }) => metadata.namespace === namespace);
  if (verb === "list")
    return send(200, {
      kind: "FlunderList",
      apiVersion: kind.apiVersion,
      metadata: { resourceVersion: String(revision) },
      items: mine,
    });
  if (verb === "watch") {
    response.writeHead(200, { "content-type": "application/json" }).flushHeaders();
    const tell = (type: string, object: Flunder): void => void response.write(`${JSON.stringify({ type, object })}\n`);
    watchers.add(tell);
    response.on("close", () => watchers.delete(tell));
    return;
  }
  if (verb === "create") {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const flunder = JSON.parse(Buffer.concat(chunks).toString()) as Flunder;
    const metadata = { ...flunder.metadata, namespace, uid: crypto.randomUUID() };
    return send(201, change("ADDED", { ...flunder, ...kind, metadata, by: who.user }));
  }
  const found = store.get(`${namespace}/${name}`);
  if (found === undefined) return status(404, "NotFound");
  send(200, verb === "delete" ? change("DELETED", found) : found);
}

const tls = { cert: readFileSync(cert), key: readFileSync(key), requestCert: true, rejectUnauthorized: false };
createServer(tls, (request, response) => {
  answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
}).listen(Number(port));
process.on("SIGTERM", () => process.exit(0));
