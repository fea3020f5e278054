import { LRUCache } from "lru-cache";
import type { SubjectAccessReviewStatus } from "#pkg/api/types/authorization-v1.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { WebhookTransport } from "../admission/webhook/client.ts";
import type { Attributes, Authorizer, Decision } from "../contract.ts";
import { postReview, type ReviewWebhookConfig } from "../review-webhook.ts";

export interface AuthorizationWebhookDeps {
  readonly transport: WebhookTransport;
  readonly config: ReviewWebhookConfig;
  readonly clock: Clock;
  readonly log: Logger;
  /** `--authorization-webhook-cache-authorized-ttl`, default five minutes. */
  readonly allowedTtlMs?: number;
  /** `--authorization-webhook-cache-unauthorized-ttl`, default 30 seconds. */
  readonly refusedTtlMs?: number;
}

const CACHED_DECISIONS = 8192;
/** Attributes bigger than this (made-up names, long selectors) are not worth remembering. */
const MAX_KEY_LENGTH = 10_000;

function specOf(attributes: Attributes): object {
  const { user } = attributes;
  const subject = {
    user: user.name,
    groups: user.groups,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    ...(user.extra === undefined ? {} : { extra: user.extra }),
  };
  if (!attributes.resourceRequest)
    return { ...subject, nonResourceAttributes: { path: attributes.path, verb: attributes.verb } };
  const { verb, namespace, apiGroup, apiVersion, resource, subresource, name, labelSelector, fieldSelector } =
    attributes;
  return {
    ...subject,
    resourceAttributes: {
      verb,
      namespace,
      group: apiGroup,
      version: apiVersion,
      resource,
      subresource,
      name,
      ...(labelSelector === undefined ? {} : { labelSelector: { rawSelector: labelSelector } }),
      ...(fieldSelector === undefined ? {} : { fieldSelector: { rawSelector: fieldSelector } }),
    },
  };
}

/** Asks a SubjectAccessReview webhook. One that cannot be asked has no opinion. */
export class AuthorizationWebhook implements Authorizer {
  readonly #deps: AuthorizationWebhookDeps;
  readonly #decisions = new LRUCache<string, { readonly decision: Decision; readonly until: number }>({
    max: CACHED_DECISIONS,
  });
  constructor(deps: AuthorizationWebhookDeps) {
    this.#deps = deps;
  }

  authorize(attributes: Attributes): Decision | Promise<Decision> {
    const spec = specOf(attributes);
    const key = JSON.stringify(spec);
    const known = this.#decisions.get(key);
    if (known !== undefined && this.#deps.clock.now() < known.until) return known.decision;
    return this.#ask(spec, key);
  }

  async #ask(spec: object, key: string): Promise<Decision> {
    const { transport, config, clock, log, allowedTtlMs = 300_000, refusedTtlMs = 30_000 } = this.#deps;
    let status: SubjectAccessReviewStatus;
    try {
      const review = { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec };
      status = await postReview<SubjectAccessReviewStatus>(transport, config, review);
    } catch (err) {
      log.warn({ err }, "Authorization webhook could not be asked");
      return { decision: "no-opinion", reason: "" };
    }
    const reason = status.reason ?? "";
    const decision: Decision = {
      decision: status.allowed ? "allow" : status.denied === true ? "deny" : "no-opinion",
      reason,
    };
    if (key.length <= MAX_KEY_LENGTH)
      this.#decisions.set(key, { decision, until: clock.now() + (status.allowed ? allowedTtlMs : refusedTtlMs) });
    return decision;
  }
}
