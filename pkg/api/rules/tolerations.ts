import type { Taint, Toleration } from "../types/core-v1.ts";

const INT64 = /^-?(0|[1-9][0-9]{0,18})$/;

/** Does the toleration tolerate the taint? An empty key with Exists tolerates every taint, an empty effect every effect. */
export function toleratesTaint(toleration: Toleration, taint: Pick<Taint, "key" | "value" | "effect">): boolean {
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
