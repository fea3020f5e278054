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
}

/** Posts a review and returns the answer's status. @throws Error saying why there is none. */
export async function postReview<S>(
  transport: WebhookTransport,
  config: ReviewWebhookConfig,
  review: object,
): Promise<S> {
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
  if (response.status < 200 || response.status > 299)
    throw new Error(`the webhook answered with status ${response.status}`);
  const answer: unknown = JSON.parse(response.body.toString("utf8"));
  const status = typeof answer === "object" && answer !== null ? (answer as { status?: unknown }).status : undefined;
  if (typeof status !== "object" || status === null) throw new Error("the webhook's answer has no status");
  return status as S;
}
