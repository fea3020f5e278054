import { type Clock, sleep } from "#pkg/util/index.ts";
import type { WebhookTransport } from "./admission/webhook/client.ts";

/** Where a TokenReview or SubjectAccessReview webhook is, as its kubeconfig says. */
export interface ReviewWebhookConfig {
  readonly url: string;
  /** PEM. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  /** Default 30 s. */
  readonly timeoutMs?: number;
  /** How long before it is asked again after a failure that may pass; longer every time. Default 500 ms. */
  readonly retryBackoffMs?: number;
}

const ATTEMPTS = 5;
const BACKOFF_FACTOR = 1.5;
/** Answers of a server that may do better the next time. */
const PASSING_STATUSES = new Set([429, 500, 504]);

/** Failures that may pass: the server stumbled, or hung up. */
class PassingError extends Error {}

/** Who asks a review webhook, and how. */
export interface ReviewWebhookDeps {
  readonly transport: WebhookTransport;
  readonly clock: Clock;
}

/** Posts a review, several times if need be, and returns the answer's status. @throws Error saying why there is none. */
export async function postReview<S>(
  { transport, clock }: ReviewWebhookDeps,
  config: ReviewWebhookConfig,
  review: object,
): Promise<S> {
  let delayMs = config.retryBackoffMs ?? 500;
  for (let attempt = 1; ; attempt++) {
    try {
      return await postOnce<S>(transport, config, review);
    } catch (error) {
      if (!mayPass(error) || attempt === ATTEMPTS) throw error;
    }
    await sleep(clock, delayMs);
    delayMs *= BACKOFF_FACTOR;
  }
}

function mayPass(error: unknown): boolean {
  const { cause } = error as { cause?: NodeJS.ErrnoException };
  return error instanceof PassingError || cause?.code === "ECONNRESET";
}

async function postOnce<S>(transport: WebhookTransport, config: ReviewWebhookConfig, review: object): Promise<S> {
  const { url, ca, cert, key, token, timeoutMs = 30_000 } = config;
  const response = await transport.post({
    url: new URL(url),
    ...(ca === undefined ? {} : { ca }),
    credentials: {
      ...(cert === undefined ? {} : { cert, key }),
      ...(token === undefined ? {} : { token }),
    },
    body: Buffer.from(JSON.stringify(review)),
    timeoutMs,
  });
  if (response.status < 200 || response.status > 299) {
    const message = `the webhook answered with status ${response.status}`;
    throw PASSING_STATUSES.has(response.status) ? new PassingError(message) : new Error(message);
  }
  const answer: unknown = JSON.parse(response.body.toString("utf8"));
  const status = typeof answer === "object" && answer !== null ? (answer as { status?: unknown }).status : undefined;
  if (typeof status !== "object" || status === null) throw new Error("the webhook's answer has no status");
  return status as S;
}
