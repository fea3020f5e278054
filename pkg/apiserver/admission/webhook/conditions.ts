import type { MatchCondition } from "#pkg/api/types/admissionregistration-v1.ts";
import type { AdmissionAttributes } from "../../contract.ts";
import type { Versioned } from "./review.ts";

/** The compiled matchConditions of a webhook or policy. */
export interface Conditions {
  /** Whether all conditions hold. Rejects when one could not be evaluated and none was false. */
  matches(review: object, attributes: AdmissionAttributes, versioned: Versioned): Promise<boolean>;
}
export type ConditionCompiler = (conditions: readonly MatchCondition[]) => Conditions;

/** Always true; recognised by identity so that nothing is evaluated. */
export const noConditions: Conditions = Object.freeze({ matches: () => Promise.resolve(true) });
