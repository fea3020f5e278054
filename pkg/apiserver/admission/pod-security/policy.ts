import type { Pod } from "#pkg/api/types/core-v1.ts";
import { baselineChecks } from "./baseline.ts";
import { restrictedChecks } from "./restricted.ts";

export type Level = "privileged" | "baseline" | "restricted";
export const LEVELS: readonly Level[] = ["privileged", "baseline", "restricted"];

/** A level as of a Kubernetes minor version; "latest" is whatever this server knows. */
export interface LevelVersion {
  readonly level: Level;
  readonly version: "latest" | number;
}

/** A violation: what is forbidden, and where it occurs. */
export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

/** A pod (or a template made into one) seen by a check: undefined when all is well. */
export type Check = (pod: Pod, version: "latest" | number) => Violation | undefined;

export function showLevel({ level, version }: LevelVersion): string {
  return `${level}:${version === "latest" ? "latest" : `v1.${version}`}`;
}

/** All violations of a level, in upstream's order (by check name). */
export function violations(pod: Pod, { level, version }: LevelVersion): Violation[] {
  if (level === "privileged") return [];
  const checks = level === "baseline" ? baselineChecks : restrictedChecks;
  return checks.map((check) => check(pod, version)).filter((violation) => violation !== undefined);
}

export function describeViolations(found: readonly Violation[]): string {
  return found.map(({ reason, detail }) => (detail === "" ? reason : `${reason} (${detail})`)).join(", ");
}
