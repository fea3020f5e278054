import { ageOf } from "../printers/cells.ts";
import type { PriorityClass } from "../types/scheduling-v1.ts";
import type { PodGroup, Workload } from "../types/scheduling-v1alpha2.ts";

export function printPriorityClass(priorityClass: Readonly<PriorityClass>, now: number): unknown[] {
  return [
    priorityClass.metadata.name,
    priorityClass.value ?? 0,
    priorityClass.globalDefault ?? false,
    ageOf(priorityClass, now),
    priorityClass.preemptionPolicy ?? "",
  ];
}

export function printWorkload(workload: Readonly<Workload>, now: number): unknown[] {
  return [workload.metadata.name, ageOf(workload, now)];
}

export function printPodGroup(group: Readonly<PodGroup>, now: number): unknown[] {
  const { schedulingPolicy, podGroupTemplateRef } = group.spec;
  const scheduled = group.status?.conditions?.find(({ type }) => type === "PodGroupScheduled");
  return [
    group.metadata.name,
    schedulingPolicy?.gang === undefined ? "Basic" : "Gang",
    podGroupTemplateRef?.workload?.workloadName ?? "<none>",
    scheduled === undefined ? "Pending" : scheduled.status === "True" ? "Scheduled" : (scheduled.reason ?? "Pending"),
    ageOf(group, now),
  ];
}
