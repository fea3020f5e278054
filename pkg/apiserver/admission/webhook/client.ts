import type { WebhookClientConfig } from "#pkg/api/types/admissionregistration-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { failureText, readAnswer } from "./answer.ts";

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
  readonly contentType?: string;
}
/** An answer began, and then did not end: the words are not about the request any more. */
export class BrokenAnswerError extends Error {
  constructor(why: string, options?: { cause?: unknown }) {
    super(`unexpected error when reading response body. Please retry. Original error: ${why}`, options);
    this.name = "BrokenAnswerError";
  }
}
/** Sends one POST. Rejects with an Error whose message says why no response came, or a BrokenAnswerError. */
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

  /** The answer, an object. @throws WebhookCallError when there is none. */
  async call(
    webhook: string,
    config: WebhookClientConfig,
    timeoutSeconds: number | undefined,
    body: object,
  ): Promise<Record<string, unknown>> {
    try {
      return await this.exchange(config, timeoutSeconds, body);
    } catch (cause) {
      throw new WebhookCallError(webhook, `failed to call webhook: ${errorMessage(cause)}`, { cause });
    }
  }

  /** The same for callers with words of their own. @throws Error that says why there is no answer. */
  async exchange(
    config: WebhookClientConfig,
    timeoutSeconds: number | undefined,
    body: object,
  ): Promise<Record<string, unknown>> {
    const url = urlOf(config);
    if (url === undefined) throw new Error("neither a service nor a valid URL is configured");
    if (timeoutSeconds !== undefined) url.searchParams.set("timeout", `${timeoutSeconds}s`);
    const response = await this.#post(url, config, timeoutSeconds ?? 30, body);
    if (response.status < 200 || response.status > 299) throw new Error(failureText(response));
    return readAnswer(response);
  }

  async #post(url: URL, config: WebhookClientConfig, seconds: number, body: object): Promise<WebhookResponse> {
    const { service, caBundle = "" } = config;
    try {
      const address =
        service === undefined
          ? undefined
          : this.#services.resolve(service.namespace, service.name, service.port ?? 443);
      return await this.#transport.post({
        url,
        ...(address === undefined ? {} : { address }),
        ...(caBundle === "" ? {} : { ca: Buffer.from(caBundle, "base64").toString("utf8") }),
        body: Buffer.from(JSON.stringify(body)),
        timeoutMs: seconds * 1000,
      });
    } catch (cause) {
      if (cause instanceof BrokenAnswerError) throw cause;
      throw new Error(`Post ${JSON.stringify(showUrl(url, config))}: ${errorMessage(cause)}`, { cause });
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
