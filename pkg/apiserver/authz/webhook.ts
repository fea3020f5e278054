import { LRUCache } from "lru-cache";
import type { SubjectAccessReviewStatus } from "#pkg/api/types/authorization-v1.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { WebhookTransport } from "../admission/webhook/client.ts";
import type { ReviewConditions } from "./configuration.ts";
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
  /** Of SubjectAccessReview, default v1. */
  readonly version?: "v1" | "v1beta1";
  /** What a webhook that cannot be asked means; default NoOpinion. */
  readonly failurePolicy?: "NoOpinion" | "Deny";
  /** Which reviews it is asked about; default all. */
  readonly conditions?: ReviewConditions;
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

const NO_OPINION: Decision = { decision: "no-opinion", reason: "" };

/** Asks a SubjectAccessReview webhook. */
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
    try {
      if (this.#deps.conditions?.(spec) === false) return NO_OPINION;
    } catch (err) {
      return this.#failed(err, "Match conditions of an authorization webhook failed");
    }
    return this.#ask(spec, key);
  }
  #failed(err: unknown, message: string): Decision {
    const { log, failurePolicy = "NoOpinion" } = this.#deps;
    log.warn({ err, failurePolicy }, message);
    return failurePolicy === "Deny" ? { decision: "deny", reason: "" } : NO_OPINION;
  }

  async #ask(spec: object, key: string): Promise<Decision> {
    const { transport, config, clock, allowedTtlMs = 300_000, refusedTtlMs = 30_000, version = "v1" } = this.#deps;
    let status: SubjectAccessReviewStatus;
    try {
      const review = {
        apiVersion: `authorization.k8s.io/${version}`,
        kind: "SubjectAccessReview",
        spec: inVersion(spec, version),
      };
      status = await postReview<SubjectAccessReviewStatus>({ transport, clock }, config, review);
    } catch (err) {
      return this.#failed(err, "Authorization webhook could not be asked");
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

/** v1beta1 calls the groups "group". */
function inVersion(spec: object, version: "v1" | "v1beta1"): object {
  if (version === "v1") return spec;
  const { groups, ...rest } = spec as { groups?: unknown };
  return { ...rest, group: groups };
}
