import { request } from "node:https";
import type { APIService } from "#pkg/api/types/apiregistration-v1.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { ServiceResolver } from "../admission/index.ts";
import type { Backend } from "../subresources/proxy/backend.ts";

/** How we prove to other API servers that we are the front proxy (--proxy-client-cert-file). */
export interface ProxyClient {
  readonly cert: string;
  readonly key: string;
}

const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
const DEFAULT_PORT = 443;

/** Where a request for an aggregated API goes. @throws Error when its Service has no endpoint */
export function backendOf(
  service: APIService,
  path: string,
  services: ServiceResolver,
  client: ProxyClient | undefined,
): Backend {
  const { service: where, caBundle, insecureSkipTLSVerify } = service.spec;
  const { name = "", namespace = "", port = DEFAULT_PORT } = where ?? {};
  const { host, port: at } = services.resolve(namespace, name, port);
  const verify = insecureSkipTLSVerify !== true && caBundle !== undefined && caBundle !== "";
  return {
    host,
    port: at,
    path,
    tls: {
      ...client,
      servername: `${name}.${namespace}.svc`,
      ...(verify ? { ca: Buffer.from(caBundle, "base64").toString("utf8") } : {}),
    },
  };
}

/** Headers that tell another API server on whose behalf we ask (authenticating proxy). */
export function identityHeaders(user: UserInfo): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {
    "x-remote-user": user.name,
    "x-remote-group": [...user.groups],
    ...(user.uid === undefined ? {} : { "x-remote-uid": user.uid }),
  };
  for (const [key, values] of Object.entries(user.extra ?? {})) {
    headers[`x-remote-extra-${encodeURIComponent(key.toLowerCase())}`] = [...values];
  }
  return headers;
}

/** GET of a JSON document from a backend. Rejects when there is none. */
export function fetchJson(
  backend: Backend,
  headers: Record<string, string | string[]>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const { tls, host, port, path } = backend;
    const outgoing = request(
      {
        host,
        port,
        path,
        headers: { accept: "application/json", ...headers },
        agent: false,
        timeout: timeoutMs,
        signal,
        cert: tls?.cert,
        key: tls?.key,
        ca: tls?.ca,
        servername: tls?.servername,
        rejectUnauthorized: tls?.ca !== undefined,
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        let size = 0;
        incoming.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_ANSWER_BYTES) outgoing.destroy(new Error("the answer is too large"));
          else chunks.push(chunk);
        });
        incoming.on("error", reject);
        incoming.on("end", () => {
          const { statusCode = 0 } = incoming;
          if (statusCode < 200 || statusCode > 299) {
            reject(new Error(`${where}: bad status from ${where}: ${statusCode}`));
            return;
          }
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString("utf8")));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
      },
    );
    const where = `https://${host}:${port}${path}`;
    outgoing.on("timeout", () => outgoing.destroy(new Error("context deadline exceeded")));
    outgoing.on("error", (error) =>
      reject(new Error(`${where}: Get ${JSON.stringify(where)}: ${error.message}`, { cause: error })),
    );
    outgoing.end();
  });
}
