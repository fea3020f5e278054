import type { Job, JobCondition } from "../types/batch-v1.ts";

/** The condition Complete or Failed that says how the Job has ended; undefined while it has not. */
export function endOfJob({
  status,
}: Readonly<Job>): (JobCondition & { readonly type: "Complete" | "Failed" }) | undefined {
  const isEnd = (condition: JobCondition): condition is JobCondition & { readonly type: "Complete" | "Failed" } =>
    (condition.type === "Complete" || condition.type === "Failed") && condition.status === "True";
  return status?.conditions?.find(isEnd);
}
