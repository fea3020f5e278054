import type { NamespaceCondition } from "#pkg/api/types/core-v1.ts";
import { formatTime } from "#pkg/util/index.ts";

/** What one pass over a namespace that is being deleted found. */
export interface Findings {
  /** Group versions that did not answer discovery, with why. */
  readonly undiscovered: ReadonlyMap<string, string>;
  /** Requests that failed. */
  readonly failures: readonly string[];
  /** Objects still there, by "plural.group". */
  readonly remaining: ReadonlyMap<string, number>;
  /** Objects still there by the finalizer they wait for. */
  readonly finalizers: ReadonlyMap<string, number>;
}

interface Verdict {
  readonly type: string;
  readonly bad: { reason: string; message: string } | undefined;
  readonly good: { reason: string; message: string };
}

function listed(counts: ReadonlyMap<string, number>, render: (name: string, count: number) => string): string {
  return [...counts.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => render(name, count))
    .join(", ");
}

function verdicts({ undiscovered, failures, remaining, finalizers }: Findings): Verdict[] {
  const reasons = [...undiscovered].map(([groupVersion, why]) => `${groupVersion}: ${why}`).sort();
  return [
    {
      type: "NamespaceDeletionDiscoveryFailure",
      bad:
        undiscovered.size === 0
          ? undefined
          : {
              reason: "DiscoveryFailed",
              message: `Discovery failed for some groups, ${undiscovered.size} failing: unable to retrieve the complete list of server APIs: ${reasons.join(", ")}`,
            },
      good: { reason: "ResourcesDiscovered", message: "All resources successfully discovered" },
    },
    {
      type: "NamespaceDeletionGroupVersionParsingFailure",
      bad: undefined,
      good: { reason: "ParsedGroupVersions", message: "All legacy kube types successfully parsed" },
    },
    {
      type: "NamespaceDeletionContentFailure",
      bad:
        failures.length === 0
          ? undefined
          : {
              reason: "ContentDeletionFailed",
              message: `Failed to delete all resource types, ${failures.length} remaining: ${[...failures].sort().join(", ")}`,
            },
      good: { reason: "ContentDeleted", message: "All content successfully deleted, may be waiting on finalization" },
    },
    {
      type: "NamespaceContentRemaining",
      bad:
        remaining.size === 0
          ? undefined
          : {
              reason: "SomeResourcesRemain",
              message: `Some resources are remaining: ${listed(remaining, (name, count) => `${name} has ${count} resource instances`)}`,
            },
      good: { reason: "ContentRemoved", message: "All content successfully removed" },
    },
    {
      type: "NamespaceFinalizersRemaining",
      bad:
        finalizers.size === 0
          ? undefined
          : {
              reason: "SomeFinalizersRemain",
              message: `Some content in the namespace has finalizers remaining: ${listed(finalizers, (name, count) => `${name} in ${count} resource instances`)}`,
            },
      good: { reason: "ContentHasNoFinalizers", message: "All content-preserving finalizers finished" },
    },
  ];
}

/** The namespace's conditions after a pass; entries that say the same as before keep their time. */
export function namespaceConditions(
  current: readonly NamespaceCondition[] | undefined,
  findings: Findings,
  now: number,
): NamespaceCondition[] {
  const result = [...(current ?? [])];
  for (const { type, bad, good } of verdicts(findings)) {
    const status = bad === undefined ? "False" : "True";
    const { reason, message } = bad ?? good;
    const index = result.findIndex((condition) => condition.type === type);
    const known = index < 0 ? undefined : result[index]!;
    if (known?.status === status && known.reason === reason && known.message === message) continue;
    const lastTransitionTime =
      known?.status === status && known.lastTransitionTime !== undefined ? known.lastTransitionTime : formatTime(now);
    const condition = { type, status, lastTransitionTime, reason, message };
    if (index < 0) result.push(condition);
    else result[index] = condition;
  }
  return result;
}
