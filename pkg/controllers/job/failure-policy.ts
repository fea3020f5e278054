import type { Job, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule } from "#pkg/api/types/batch-v1.ts";
import type { ContainerStatus, Pod } from "#pkg/api/types/core-v1.ts";

/** What a rule of podFailurePolicy makes of a failed pod. */
export type FailureAction = "FailJob" | "FailIndex" | "Ignore" | "Count";

/** What the Job's policy says about a failed pod; Count when no rule matches. */
export interface FailureVerdict {
  readonly action: FailureAction;
  /** For FailJob: the Job's message. */
  readonly message: string;
}

const COUNT: FailureVerdict = { action: "Count", message: "" };

/** What the Job's podFailurePolicy says of a failed pod: the first rule that matches, or that it counts. */
export function judgeFailure(job: Job, pod: Pod): FailureVerdict {
  const rules = job.spec.podFailurePolicy?.rules ?? [];
  for (const [index, rule] of rules.entries()) {
    const why = matches(rule, pod);
    if (why === undefined) continue;
    const action = rule.action as FailureAction;
    // FailIndex needs limits per index; without them the failure counts.
    if (action === "FailIndex" && job.spec.backoffLimitPerIndex === undefined) return COUNT;
    return { action, message: `${why} matching ${action} rule at index ${index}` };
  }
  return COUNT;
}

function matches(rule: PodFailurePolicyRule, pod: Pod): string | undefined {
  if (rule.onExitCodes !== undefined) {
    const container = matchingContainer(pod, rule.onExitCodes);
    if (container === undefined) return undefined;
    const { namespace, name } = pod.metadata;
    return `Container ${container.name} for pod ${namespace}/${name} failed with exit code ${container.state?.terminated?.exitCode}`;
  }
  for (const pattern of rule.onPodConditions ?? []) {
    const found = pod.status?.conditions?.find(
      ({ type, status }) => type === pattern.type && status === (pattern.status ?? "True"),
    );
    if (found !== undefined) return `Pod ${pod.metadata.namespace}/${pod.metadata.name} has condition ${found.type}`;
  }
  return undefined;
}

function matchingContainer(pod: Pod, requirement: PodFailurePolicyOnExitCodesRequirement): ContainerStatus | undefined {
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  return statuses.find(({ name, state }) => {
    const exitCode = state?.terminated?.exitCode;
    if (exitCode === undefined || exitCode === 0) return false;
    if (requirement.containerName !== undefined && requirement.containerName !== name) return false;
    const listed = requirement.values.includes(exitCode);
    return requirement.operator === "In" ? listed : requirement.operator === "NotIn" ? !listed : false;
  });
}
