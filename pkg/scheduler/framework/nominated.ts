import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import type { Nominator } from "../queue/nominator.ts";
import type { Status } from "./status.ts";
import type { FilterRun } from "./types.ts";

/**
 * Filters a node counting the pods that are about to come to it (nominated, of at least this priority) as being there;
 * the pod must also fit without them, since they may never come.
 */
export function filterWithNominated(
  run: FilterRun,
  pod: PodInfo,
  node: NodeInfo,
  nominator: Nominator,
): Status | undefined {
  if (nominator.size > 0 && nominator.hasAny(node.name)) {
    const coming = [...nominator.on(node.name)].filter(
      ({ uid, priority }) => uid !== pod.uid && priority >= pod.priority,
    );
    if (coming.length > 0) {
      const withThem = node.clone();
      const trial = run.clone();
      for (const other of coming) {
        withThem.addPod(other);
        trial.addPod(other, withThem);
      }
      const status = trial.filter(withThem);
      if (status !== undefined) return status;
    }
  }
  return run.filter(node);
}
