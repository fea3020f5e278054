import type { Condition } from "#pkg/api/types/meta-v1.ts";
import type {
  StorageVersionMigration,
  StorageVersionMigrationStatus,
} from "#pkg/api/types/storagemigration-v1beta1.ts";
import { condition, findCondition, withCondition } from "../common/conditions.ts";

/** How far a migration is: the type of the condition that is True. */
export type MigrationState = "Running" | "Succeeded" | "Failed";

const REASONS: Readonly<Record<MigrationState, string>> = {
  Running: "StorageVersionMigrationInProgress",
  Succeeded: "StorageVersionMigrationSucceeded",
  Failed: "StorageVersionMigrationFailed",
};

/** Has it come to an end? Then it is never done again. */
export function isOver({ status }: StorageVersionMigration): boolean {
  return (["Succeeded", "Failed"] as const).some((type) => findCondition(status?.conditions, type)?.status === "True");
}

/** The status of a migration that has come to this state; one that is over does not run any more. */
export function statusIn(
  state: MigrationState,
  status: StorageVersionMigrationStatus,
  message: string,
  now: number,
): StorageVersionMigrationStatus {
  const running = findCondition(status.conditions, "Running");
  const others: readonly Condition[] =
    state === "Running" || running === undefined
      ? (status.conditions ?? [])
      : withCondition(status.conditions, { ...running, ...condition("Running", "False", running.reason, "", now) });
  return { ...status, conditions: withCondition(others, condition(state, "True", REASONS[state], message, now)) };
}
