import { createSecureServer } from "node:http2";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { configMaps } from "#pkg/api/refs.ts";
import { isStatusError, StatusError, unauthorized } from "#pkg/apimachinery/index.ts";
import { forbiddenError } from "#pkg/apiserver/authz/index.ts";
import { type Client, DelegatedAuth } from "#pkg/client/index.ts";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { type Clock, type Logger, refusePlainHttp, sleep } from "#pkg/util/index.ts";
import { type Explained, type ServedAt, serveExplanations } from "./explain.ts";
import type { RunningScheduler } from "./loops.ts";

/** Paths that anybody may ask, as upstream's --authorization-always-allow-paths. */
const HEALTH = /^\/(healthz|livez|readyz)$/;
const VALIDITY_DAYS = 365;
const RETRY_MS = 2_000;

export interface SchedulerServerDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly host: string;
  readonly port: number;
  /** At which others reach this machine. */
  readonly address: string;
  /** The scheduler while it leads here. */
  readonly scheduler: () => RunningScheduler | undefined;
  /** /metrics in Prometheus' text. */
  readonly metrics: () => Promise<string>;
  /** What /configz shows. */
  readonly configuration: unknown;
}
/**
 * The server of a scheduler without an API server beside it: health, metrics, configuration, explanations. Who calls is
 * known by the cluster's client certificates or by tokens, and the API server says who may. Ends with the signal.
 */
export async function serveScheduler(deps: SchedulerServerDeps, signal: AbortSignal): Promise<ServedAt> {
  const { client, clock, log, address, host } = deps;
  const certificate = await selfSigned(address, clock.now());
  const auth = new DelegatedAuth({ client, clock, anonymousAuth: true });
  const server = createSecureServer({
    allowHTTP1: true,
    cert: certificate.cert,
    key: certificate.key,
    ca: await clientCa(client, clock, log, signal),
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
  });
  server.on("request", (request, response) => void answer(request, response));
  refusePlainHttp(server);
  server.on("tlsClientError", (err) => log.debug({ err }, "A TLS client could not connect"));
  const answer = async (request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> => {
    const send: Explained["response"]["send"] = (status, headers, body) => {
      response.writeHead(status, headers);
      response.end(Buffer.isBuffer(body) ? body : Buffer.concat(body));
    };
    try {
      const { pathname: path } = new URL(request.url, "https://scheduler");
      if (!HEALTH.test(path)) await admit(auth, request, path, signal);
      const served = await serve(deps, { request, target: { path }, response: { send } });
      if (!served) send(404, { "content-type": "text/plain; charset=utf-8" }, Buffer.from("404 page not found\n"));
    } catch (error) {
      if (!isStatusError(error)) log.error({ err: error, url: request.url }, "Request failed");
      const { code, status } = isStatusError(error) ? error : new StatusError({ code: 500, message: "internal error" });
      send(code, { "content-type": "application/json" }, Buffer.from(JSON.stringify(status)));
    }
  };
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(deps.port, host, resolve);
  });
  signal.addEventListener("abort", () => server.close(), { once: true });
  const { port } = server.address() as AddressInfo;
  const name = address.includes(":") ? `[${address}]` : address;
  return { url: `https://${name}:${port}`, ca: certificate.ca };
}

async function admit(
  auth: DelegatedAuth,
  request: Http2ServerRequest,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const { socket, headers, method } = request;
  const user = await auth.authenticate(socket as TLSSocket, headers.authorization, signal);
  if (user === undefined) throw unauthorized();
  const verb = method.toLowerCase();
  if (!(await auth.authorize(user, { nonResourceAttributes: { path, verb } }, signal)))
    throw forbiddenError({ user, resourceRequest: false, verb, path }, "");
}

async function serve(deps: SchedulerServerDeps, context: Explained): Promise<boolean> {
  const { request, response, target } = context;
  if (request.method !== "GET") return false;
  const text = (type: string, body: string) => {
    response.send(200, { "content-type": `${type}; charset=utf-8` }, Buffer.from(body));
    return true;
  };
  if (HEALTH.test(target.path)) return text("text/plain", "ok");
  switch (target.path) {
    case "/metrics":
      return text("text/plain; version=0.0.4", await deps.metrics());
    case "/configz":
      return text("application/json", JSON.stringify({ componentconfig: deps.configuration }));
    default:
      return serveExplanations(deps.scheduler)(context);
  }
}

/** The CA of client certificates, which the API server publishes. Waits for an API server that is away. */
async function clientCa(client: Client, clock: Clock, log: Logger, signal: AbortSignal): Promise<string> {
  const key = { namespace: "kube-system", name: "extension-apiserver-authentication" };
  for (;;) {
    try {
      const { data } = await client.get(configMaps, key, { signal });
      return data?.["client-ca-file"] ?? "";
    } catch (err) {
      if (signal.aborted) throw err;
      log.warn({ err }, "Cannot read which client certificates to trust yet");
      await sleep(clock, RETRY_MS, signal);
    }
  }
}

async function selfSigned(address: string, now: number): Promise<{ cert: string; key: string; ca: string }> {
  const ca = await createCa({ commonName: "kube-scheduler-ca", validityDays: VALIDITY_DAYS, now });
  const issued = await issueCertificate(ca, {
    commonName: "kube-scheduler",
    usages: ["server"],
    dnsNames: ["localhost"],
    ips: [...new Set([address, "127.0.0.1"])],
    validityDays: VALIDITY_DAYS,
    now,
  });
  return { cert: issued.cert, key: issued.key, ca: ca.cert };
}
