/** What events say about a resize: what every container is to have, as JSON that programs may read. */
import type { Container, Pod, ResourceRequirements } from "#pkg/api/types/core-v1.ts";

/** How far a resize in place has come. */
export type ResizeOutcome = "started" | "completed" | "error" | "Deferred" | "Infeasible";

/** `error` says what went wrong, or why the resize has to wait. */
export function resizeMessage(outcome: ResizeOutcome, { metadata, spec }: Pod, error?: string): string {
  const { initContainers } = spec;
  const summary = {
    ...(initContainers === undefined || initContainers.length === 0
      ? {}
      : { initContainers: initContainers.map(amounts) }),
    containers: spec.containers.map(amounts),
    generation: metadata.generation ?? 0,
    ...(error === undefined || error === "" ? {} : { error }),
  };
  return `Pod resize ${outcome}: ${JSON.stringify(summary)}`;
}

function amounts({ name, resources = {} }: Pick<Container, "name" | "resources">) {
  const { limits, requests, claims } = resources;
  const listed: ResourceRequirements = {
    ...(limits === undefined ? {} : { limits: sorted(limits) }),
    ...(requests === undefined ? {} : { requests: sorted(requests) }),
    ...(claims === undefined ? {} : { claims }),
  };
  return { name, resources: listed };
}

/** The same amounts read the same, whatever order they were written in: equal events are counted, not repeated. */
function sorted<T>(amounts: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(amounts).sort(([a], [b]) => (a < b ? -1 : 1)));
}
