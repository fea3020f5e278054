import { ageOf, NONE } from "../printers/cells.ts";
import type { FlowSchema, PriorityLevelConfiguration } from "../types/flowcontrol-v1.ts";

export function printFlowSchema(schema: Readonly<FlowSchema>, now: number): unknown[] {
  const dangling = schema.status?.conditions?.find(({ type }) => type === "Dangling");
  return [
    schema.metadata.name,
    schema.spec.priorityLevelConfiguration?.name || NONE,
    schema.spec.matchingPrecedence ?? 0,
    schema.spec.distinguisherMethod?.type ?? NONE,
    ageOf(schema, now),
    dangling?.status ?? "?",
  ];
}

export function printPriorityLevel(level: Readonly<PriorityLevelConfiguration>, now: number): unknown[] {
  const { type, limited, exempt } = level.spec;
  const queuing = limited?.limitResponse?.queuing;
  const cell = (value: number | undefined) => value ?? NONE;
  return [
    level.metadata.name,
    type,
    cell(limited?.nominalConcurrencyShares ?? exempt?.nominalConcurrencyShares),
    cell(queuing?.queues),
    cell(queuing?.handSize),
    cell(queuing?.queueLengthLimit),
    ageOf(level, now),
  ];
}
