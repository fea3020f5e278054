/**
 * Quota arithmetic: what an object counts for in a ResourceQuota, and which quotas cover it. Admission charges by it, the
 * quota controller recounts by it.
 */
export { constraintError, consumes, usageOf } from "./usage.ts";
export { inScope } from "./scopes.ts";
export { parseList, podLimits, podRequests, type ResourceList } from "./resources.ts";
