import { toleratesTaint } from "#pkg/api/rules/index.ts";
import type { Taint, Toleration } from "#pkg/api/types/core-v1.ts";

/** Does one of the tolerations tolerate the taint? */
export function tolerates(tolerations: readonly Toleration[], taint: Pick<Taint, "key" | "value" | "effect">): boolean {
  for (const toleration of tolerations) if (toleratesTaint(toleration, taint)) return true;
  return false;
}

/** The first taint that keeps pods away and is not tolerated. */
export function untoleratedTaint(
  taints: readonly Taint[],
  tolerations: readonly Toleration[],
  matters: (effect: string) => boolean = repels,
): Taint | undefined {
  for (const taint of taints) if (matters(taint.effect) && !tolerates(tolerations, taint)) return taint;
  return undefined;
}

function repels(effect: string): boolean {
  return effect === "NoSchedule" || effect === "NoExecute";
}
