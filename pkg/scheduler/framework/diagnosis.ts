import type { Diagnosis } from "./types.ts";

/** The text of a pod's PodScheduled condition and FailedScheduling event, in upstream's words. */
export function fitErrorMessage(diagnosis: Diagnosis, postFilterMessage: string): string {
  const { nodeCount, preFilterMessage } = diagnosis;
  if (nodeCount === 0 && preFilterMessage === "") return "no nodes available to schedule pods";
  let message = `0/${nodeCount} nodes are available:`;
  if (preFilterMessage !== "") message += ` ${preFilterMessage}.`;
  else {
    const reasons = reasonCounts(diagnosis);
    if (reasons !== "") message += ` ${reasons}.`;
  }
  return postFilterMessage === "" ? message : `${message} ${postFilterMessage}`;
}

/** "1 Insufficient cpu, 2 node(s) were unschedulable", sorted as text. */
function reasonCounts({ statuses }: Diagnosis): string {
  const counts = new Map<string, number>();
  for (const { reasons } of statuses.values())
    for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .map(([reason, count]) => `${count} ${reason}`)
    .sort()
    .join(", ");
}
