import { parseJson } from "#pkg/apimachinery/index.ts";
import type { WebhookClientConfig } from "#pkg/api/types/admissionregistration-v1.ts";

/** One way to reach a backend of a Service. */
export interface ServiceAddress {
  readonly host: string;
  readonly port: number;
}
/** Finds where a Service's port is served. @throws Error in words fit for the client, e.g. `service "x" not found`. */
export interface ServiceResolver {
  resolve(namespace: string, name: string, port: number): ServiceAddress;
}

export interface WebhookRequest {
  readonly url: URL;
  /** Where to connect instead of the URL's host. */
  readonly address?: ServiceAddress;
  /** PEM; undefined: the system's authorities. */
  readonly ca?: string;
  /** How this server proves itself: a client certificate (PEM), a bearer token. */
  readonly credentials?: { readonly cert?: string; readonly key?: string; readonly token?: string };
  readonly body: Buffer;
  readonly timeoutMs: number;
}
export interface WebhookResponse {
  readonly status: number;
  readonly body: Buffer;
}
/** Sends one POST. Rejects with an Error whose message says why no response came. */
export interface WebhookTransport {
  post(request: WebhookRequest): Promise<WebhookResponse>;
}

/** A webhook could not be asked: its failurePolicy decides. */
export class WebhookCallError extends Error {
  constructor(webhook: string, why: string, options?: { cause?: unknown }) {
    super(`failed calling webhook ${JSON.stringify(webhook)}: ${why}`, options);
    this.name = "WebhookCallError";
  }
}

/** Posts JSON to webhooks named by service or URL. */
export class WebhookClient {
  readonly #transport: WebhookTransport;
  readonly #services: ServiceResolver;
  constructor(transport: WebhookTransport, services: ServiceResolver) {
    this.#transport = transport;
    this.#services = services;
  }

  /** The parsed JSON answer. @throws WebhookCallError when there is none. */
  async call(
    webhook: string,
    config: WebhookClientConfig,
    timeoutSeconds: number | undefined,
    body: object,
  ): Promise<unknown> {
    const fail = (why: string, cause?: unknown): WebhookCallError =>
      new WebhookCallError(webhook, `failed to call webhook: ${why}`, { cause });
    const url = urlOf(config);
    if (url === undefined)
      throw new WebhookCallError(webhook, "failed to call webhook: neither a service nor a valid URL is configured");
    if (timeoutSeconds !== undefined) url.searchParams.set("timeout", `${timeoutSeconds}s`);
    const where = `Post ${JSON.stringify(showUrl(url, config))}`;
    let response: WebhookResponse;
    try {
      const { service } = config;
      const address =
        service === undefined
          ? undefined
          : this.#services.resolve(service.namespace, service.name, service.port ?? 443);
      response = await this.#transport.post({
        url,
        ...(address === undefined ? {} : { address }),
        ...(config.caBundle === undefined || config.caBundle === ""
          ? {}
          : { ca: Buffer.from(config.caBundle, "base64").toString("utf8") }),
        body: Buffer.from(JSON.stringify(body)),
        timeoutMs: (timeoutSeconds ?? 30) * 1000,
      });
    } catch (cause) {
      throw fail(`${where}: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
    }
    if (response.status < 200 || response.status > 299) throw fail(statusText(response));
    try {
      return parseJson(response.body.toString("utf8"));
    } catch (cause) {
      throw fail(`the response is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
    }
  }
}

function urlOf({ url, service }: WebhookClientConfig): URL | undefined {
  if (service !== undefined) {
    const parsed = new URL(`https://${service.name}.${service.namespace}.svc:${service.port ?? 443}`);
    parsed.pathname = service.path ?? "/";
    return parsed;
  }
  return url === undefined ? undefined : (URL.parse(url) ?? undefined);
}

/** The address as the user wrote it: with the port, also where it is the scheme's own. */
function showUrl(url: URL, { service }: WebhookClientConfig): string {
  if (service === undefined) return url.href;
  return `https://${service.name}.${service.namespace}.svc:${service.port ?? 443}${url.pathname}${url.search}`;
}

/** What upstream's client says about an answer that is not a success. */
function statusText({ status, body }: WebhookResponse): string {
  if (status === 404) return "the server could not find the requested resource";
  if (status === 401) return "the server has asked for the client to provide credentials";
  if (status === 403) return "forbidden: User cannot access the webhook";
  const text = body.toString("utf8", 0, 1024).trim();
  if (status >= 500)
    return `an error on the server (${JSON.stringify(text === "" ? "unknown" : text)}) has prevented the request from succeeding`;
  return `the server responded with the status code ${status} but did not return more information`;
}
