import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { RequestTarget } from "../http/target.ts";

/** How much of a request is written down. */
export type AuditLevel = "None" | "Metadata" | "Request" | "RequestResponse";
const LEVELS: readonly string[] = ["None", "Metadata", "Request", "RequestResponse"];
/** Stages of a request that are written. */
export type AuditStage = "RequestReceived" | "ResponseStarted" | "ResponseComplete" | "Panic";
const STAGES: readonly string[] = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];

interface GroupResources {
  readonly group?: string;
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
}
export interface AuditRule {
  readonly level: AuditLevel;
  readonly users?: readonly string[];
  readonly userGroups?: readonly string[];
  readonly verbs?: readonly string[];
  readonly resources?: readonly GroupResources[];
  readonly namespaces?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly omitStages?: readonly string[];
  /** Overrides the policy's own. */
  readonly omitManagedFields?: boolean;
}
/** The audit.k8s.io/v1 Policy of `--audit-policy-file`. */
export interface AuditPolicy {
  readonly rules: readonly AuditRule[];
  readonly omitStages?: readonly string[];
  readonly omitManagedFields?: boolean;
}

/** What is written of one request. */
export interface AuditRequirement {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<string>;
  readonly omitManagedFields: boolean;
}

/** Checks a parsed policy file. @throws TypeError naming what is wrong. */
export function parseAuditPolicy(value: unknown): AuditPolicy {
  const policy = value as Partial<AuditPolicy> & { apiVersion?: string; kind?: string };
  if (policy?.kind !== "Policy" || policy.apiVersion !== "audit.k8s.io/v1")
    throw new TypeError("the audit policy must be an audit.k8s.io/v1 Policy");
  const rules = policy.rules ?? [];
  if (rules.length === 0) throw new TypeError("the audit policy has no rules");
  assertStages(policy.omitStages, "omitStages");
  for (const [index, rule] of rules.entries()) assertRule(rule, `rules[${index}]`);
  return { rules, omitStages: policy.omitStages ?? [], omitManagedFields: policy.omitManagedFields === true };
}

function assertStages(stages: readonly string[] = [], path: string): void {
  for (const [index, stage] of stages.entries())
    if (!STAGES.includes(stage))
      throw new TypeError(
        `${path}[${index}]: Invalid value: ${JSON.stringify(stage)}: allowed stages are ${STAGES.join(",")}`,
      );
}

function assertRule(rule: AuditRule, path: string): void {
  if (!LEVELS.includes(rule.level))
    throw new TypeError(`${path}.level: Unsupported value: ${JSON.stringify(rule.level)}`);
  assertStages(rule.omitStages, `${path}.omitStages`);
  const { resources = [], namespaces = [], nonResourceURLs = [] } = rule;
  if (nonResourceURLs.length > 0 && resources.length + namespaces.length > 0)
    throw new TypeError(
      `${path}.nonResourceURLs: Invalid value: rules cannot apply to both regular resources and non-resource URLs`,
    );
  for (const [index, { resources: names = [], resourceNames = [] }] of resources.entries())
    if (resourceNames.length > 0 && names.length === 0)
      throw new TypeError(
        `${path}.resources[${index}].resourceNames: Invalid value: using resourceNames requires at least one resource`,
      );
}

const covers = (values: readonly string[] | undefined, value: string): boolean =>
  values === undefined || values.length === 0 || values.includes(value);

function resourceMatches(
  { group = "", resources = [], resourceNames = [] }: GroupResources,
  target: RequestTarget,
): boolean {
  if (group !== target.group) return false;
  if (resourceNames.length > 0 && !resourceNames.includes(target.name)) return false;
  if (resources.length === 0) return true;
  const combined = target.subresource === "" ? target.resource : `${target.resource}/${target.subresource}`;
  return resources.some(
    (own) =>
      own === "*" ||
      own === combined ||
      (target.subresource !== "" && (own === `*/${target.subresource}` || own === `${target.resource}/*`)),
  );
}

function urlMatches(pattern: string, path: string): boolean {
  return pattern === "*" || pattern === path || (pattern.endsWith("*") && path.startsWith(pattern.slice(0, -1)));
}

function ruleMatches(rule: AuditRule, user: UserInfo, target: RequestTarget): boolean {
  if (!covers(rule.users, user.name) || !covers(rule.verbs, target.verb)) return false;
  const groups = rule.userGroups ?? [];
  if (groups.length > 0 && !groups.some((group) => user.groups.includes(group))) return false;
  const resources = rule.resources ?? [];
  const namespaces = rule.namespaces ?? [];
  const urls = rule.nonResourceURLs ?? [];
  if (resources.length > 0 || namespaces.length > 0) {
    if (!target.resourceRequest || !covers(namespaces, target.namespace)) return false;
    return resources.length === 0 || resources.some((own) => resourceMatches(own, target));
  }
  if (urls.length > 0) return !target.resourceRequest && urls.some((url) => urlMatches(url, target.path));
  return true;
}

/** Level and stages to leave out for a request: those of the first rule that matches, else nothing is written. */
export function auditLevel(policy: AuditPolicy, user: UserInfo, target: RequestTarget): AuditRequirement {
  const rule = policy.rules.find((own) => ruleMatches(own, user, target));
  return {
    level: rule?.level ?? "None",
    omitStages: new Set([...(policy.omitStages ?? []), ...(rule?.omitStages ?? [])]),
    omitManagedFields: rule?.omitManagedFields ?? policy.omitManagedFields === true,
  };
}
