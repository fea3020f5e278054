import { errorMessage } from "#pkg/util/index.ts";

/** What a plugin answers other than success. */
export type Code =
  | "Error"
  /** Refused, but it might fit once pods have gone: preemption may help. */
  | "Unschedulable"
  /** Refused for a reason that no preemption changes. */
  | "UnschedulableAndUnresolvable"
  | "Wait"
  | "Skip";

/** A plugin's verdict; success is `undefined`. Immutable, so that one can serve for many nodes. */
export interface Status {
  readonly code: Code;
  readonly reasons: readonly string[];
  /** Filled in by the framework. */
  readonly plugin?: string;
  readonly error?: unknown;
}

/** The node does not do now; an event or preemption may change that. */
export function unschedulable(...reasons: string[]): Status {
  return { code: "Unschedulable", reasons };
}
/** The node does not do, and removing pods from it would not help. */
export function unresolvable(...reasons: string[]): Status {
  return { code: "UnschedulableAndUnresolvable", reasons };
}
/** Something broke: the attempt ends with this error. */
export function failed(error: unknown): Status {
  return { code: "Error", reasons: [errorMessage(error)], error };
}
/** Does it refuse the pod, as opposed to having failed or succeeded? */
export function isRejection({ code }: Status): boolean {
  return code === "Unschedulable" || code === "UnschedulableAndUnresolvable";
}

/** The reasons as one text. */
export function messageOf({ reasons }: Status): string {
  return reasons.join(", ");
}
