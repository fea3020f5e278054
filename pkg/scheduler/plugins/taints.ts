import type { Taint, Toleration } from "#pkg/api/types/core-v1.ts";

const INT64 = /^-?(0|[1-9][0-9]{0,18})$/;

/** Does one of the tolerations tolerate the taint? */
export function tolerates(tolerations: readonly Toleration[], taint: Pick<Taint, "key" | "value" | "effect">): boolean {
  for (const toleration of tolerations) if (toleratesTaint(toleration, taint)) return true;
  return false;
}

function toleratesTaint(toleration: Toleration, taint: Pick<Taint, "key" | "value" | "effect">): boolean {
  const { effect = "", key = "", operator = "", value = "" } = toleration;
  if (effect !== "" && effect !== taint.effect) return false;
  if (key !== "" && key !== taint.key) return false;
  switch (operator) {
    case "":
    case "Equal":
      return value === (taint.value ?? "");
    case "Exists":
      return true;
    case "Lt":
    case "Gt":
      return comparesTo(operator, value, taint.value ?? "");
    default:
      return false;
  }
}

/** KEP-5471: the taint's value lies below (Lt) or above (Gt) the toleration's. */
function comparesTo(operator: "Lt" | "Gt", bound: string, actual: string): boolean {
  if (!INT64.test(bound) || !INT64.test(actual)) return false;
  return operator === "Lt" ? BigInt(actual) < BigInt(bound) : BigInt(actual) > BigInt(bound);
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
