import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { Remarks } from "./contract.ts";

/** Who asks for a review, and about what. */
export interface ReviewContext extends Remarks {
  readonly user: UserInfo;
  /** Namespace and name of the request's path; "" where there is none. */
  readonly namespace: string;
  readonly name: string;
  readonly signal: AbortSignal;
}

/**
 * Serves `create` of a kind that is computed, not stored (TokenReview, SubjectAccessReview…), or a computed subresource
 * (serviceaccounts/token). Gets the decoded, defaulted object; returns the object to answer with (201).
 */
export type ReviewHandler = (object: KubeObject, context: ReviewContext) => KubeObject | Promise<KubeObject>;
