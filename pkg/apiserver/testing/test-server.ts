/** A whole API server over the memory store for this module's tests, reached through real TLS connections. */
import { type ClientHttp2Session, connect } from "node:http2";
import { builtinResources } from "#pkg/api/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { createCa, issueCertificate, type KeyPair } from "#pkg/pki/index.ts";
import { openMemoryStore } from "#pkg/storage/index.ts";
import { Cacher } from "#pkg/storage/cacher/index.ts";
import { SeededRandom } from "#pkg/util/index.ts";
import type { Listener } from "../http/server.ts";
import { type ApiServer, type ApiServerDeps, createApiServer, createResourceRegistry } from "../server.ts";

export interface TestResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bytes: Buffer;
  readonly text: string;
  /** Parsed on access. */
  readonly json: KubeObject;
}
export interface TestRequest {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}
export interface WatchStream {
  /** The next event; rejects when none comes within ten seconds. */
  next(): Promise<{ type: string; object: KubeObject }>;
  readonly status: number;
  close(): void;
  /** Resolves when the server ends the stream. */
  readonly ended: Promise<void>;
}

export interface TestServer {
  readonly api: ApiServer;
  readonly listener: Listener;
  readonly ca: KeyPair;
  readonly cacher: Cacher;
  request(path: string, options?: TestRequest): Promise<TestResponse>;
  watch(path: string, headers?: Record<string, string>): Promise<WatchStream>;
  close(): Promise<void>;
}

export const ADMIN = { name: "admin", groups: ["system:masters", "system:authenticated"] };

/** Starts a server that lets everybody do everything, unless `overrides` say otherwise. */
export async function startTestServer(overrides: Partial<ApiServerDeps> = {}): Promise<TestServer> {
  const cacher = new Cacher({ store: openMemoryStore() });
  const registry = overrides.registry ?? createResourceRegistry({ cacher, resources: builtinResources() });
  const api = createApiServer({
    registry,
    authenticator: { authenticate: () => Promise.resolve(ADMIN) },
    authorizer: { authorize: () => ({ decision: "allow", reason: "" }) },
    admission: { admit: () => undefined, validate: () => undefined, settle: () => undefined },
    random: new SeededRandom(1),
    ...overrides,
  });
  await api.ready;
  const now = Date.now();
  const ca = await createCa({ commonName: "test-ca", validityDays: 1, now });
  const serving = await issueCertificate(ca, {
    commonName: "kube-apiserver",
    usages: ["server"],
    dnsNames: ["localhost"],
    ips: ["127.0.0.1"],
    validityDays: 1,
    now,
  });
  const listener = await api.listen({
    host: "127.0.0.1",
    port: 0,
    tls: { cert: serving.cert, key: serving.key, clientCa: ca.cert },
  });
  const session = connect(`https://127.0.0.1:${listener.port}`, { ca: ca.cert });
  return {
    api,
    listener,
    ca,
    cacher,
    request: (path, options) => send(session, path, options),
    watch: (path, headers) => openWatch(session, path, headers),
    close: async () => {
      session.close();
      await api.close();
    },
  };
}

function send(session: ClientHttp2Session, path: string, options: TestRequest = {}): Promise<TestResponse> {
  const { method = options.body === undefined ? "GET" : "POST", body } = options;
  return new Promise((resolve, reject) => {
    const bytes =
      body === undefined
        ? undefined
        : Buffer.isBuffer(body)
          ? body
          : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
    const stream = session.request(
      {
        ":method": method,
        ":path": path,
        ...(bytes === undefined ? {} : { "content-type": "application/json" }),
        ...options.headers,
      },
      { endStream: bytes === undefined },
    );
    const chunks: Buffer[] = [];
    let headers: TestResponse["headers"] = {};
    stream.on("response", (received) => (headers = received as TestResponse["headers"]));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () => {
      const all = Buffer.concat(chunks);
      resolve({
        status: Number(headers[":status"]),
        headers,
        bytes: all,
        get text() {
          return all.toString();
        },
        get json() {
          return JSON.parse(all.toString()) as KubeObject;
        },
      });
    });
    if (bytes !== undefined) stream.end(bytes);
  });
}

function openWatch(
  session: ClientHttp2Session,
  path: string,
  headers: Record<string, string> = {},
): Promise<WatchStream> {
  const stream = session.request({ ":path": path, ...headers });
  const events: { type: string; object: KubeObject }[] = [];
  const waiting: (() => void)[] = [];
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) events.push(JSON.parse(line) as (typeof events)[number]);
    if (lines.length > 0) for (const wake of waiting.splice(0)) wake();
  });
  const ended = new Promise<void>((resolve) => stream.once("close", resolve));
  return new Promise((resolve, reject) => {
    stream.once("error", reject);
    stream.once("response", (received) =>
      resolve({
        status: Number(received[":status"]),
        ended,
        close: () => stream.close(),
        next: async () => {
          if (events.length === 0) {
            await new Promise<void>((wake, fail) => {
              const timer = setTimeout(() => fail(new Error("no watch event within ten seconds")), 10_000);
              waiting.push(() => {
                clearTimeout(timer);
                wake();
              });
            });
          }
          return events.shift()!;
        },
      }),
    );
  });
}
