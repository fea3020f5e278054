import type { Event as CoreEvent } from "../types/core-v1.ts";
import type { Event } from "../types/events-v1.ts";
import { type FieldError, immutable, invalid, isEmpty, qualifiedName, required } from "../validation/rules.ts";

const MAX_ACTION = 128;
const MAX_REASON = 128;
const MAX_NOTE = 1024;
const MAX_INSTANCE = 128;

/** The event and what it is about live in the same namespace. */
function validateNamespaces(event: CoreEvent): FieldError[] {
  const own = event.metadata.namespace ?? "";
  const about = event.involvedObject?.namespace ?? "";
  // Events about cluster-scoped objects go to "default" (or kube-system from old clients).
  if (about === "") {
    return own === "default" || own === "kube-system"
      ? []
      : [invalid("involvedObject.namespace", about, "does not match event.namespace")];
  }
  return own === about ? [] : [invalid("involvedObject.namespace", about, "does not match event.namespace")];
}

export const validateCoreEvent = (event: CoreEvent): FieldError[] => validateNamespaces(event);

/** events.k8s.io is strict where core was lenient; the fields are those of that group. */
export function validateEvent(event: Event, core: CoreEvent): FieldError[] {
  const errors = validateNamespaces(core);
  const { reportingController = "", reportingInstance = "", action = "", reason = "", note = "", type } = event;
  if (isEmpty(event.eventTime)) errors.push(required("eventTime"));
  if (reportingController === "") errors.push(required("reportingController"));
  else errors.push(...qualifiedName(reportingController, "reportingController"));
  const text = (value: string, field: string, most: number, needed = true) => {
    if (value === "" && needed) errors.push(required(field));
    if (value.length > most) errors.push(invalid(field, "", `can have at most ${most} characters`));
  };
  text(reportingInstance, "reportingInstance", MAX_INSTANCE);
  text(action, "action", MAX_ACTION);
  text(reason, "reason", MAX_REASON);
  text(note, "message", MAX_NOTE, false);
  if (type !== "Normal" && type !== "Warning") errors.push(invalid("type", "", "has invalid value: " + (type ?? "")));
  const legacy: readonly (readonly [keyof Event, string])[] = [
    ["deprecatedFirstTimestamp", "firstTimestamp"],
    ["deprecatedLastTimestamp", "lastTimestamp"],
  ];
  for (const [field, name] of legacy)
    if ((event[field] ?? undefined) !== undefined) errors.push(invalid(name, "", "needs to be unset"));
  if (event.deprecatedCount) errors.push(invalid("count", "", "needs to be unset"));
  if (event.series !== undefined) {
    if ((event.series.count ?? 0) < 2) errors.push(invalid("series.count", "", "should be at least 2"));
    if (isEmpty(event.series.lastObservedTime)) errors.push(required("series.lastObservedTime"));
  }
  return errors;
}

/** Fields that an update may not change, with the names that core/v1 has for them. */
const IMMUTABLE = [
  ["regarding", "involvedObject"],
  ["related", "related"],
  ["reason", "reason"],
  ["action", "action"],
  ["type", "type"],
  ["reportingController", "reportingController"],
  ["reportingInstance", "reportingInstance"],
  ["note", "message"],
] as const;

export function validateEventUpdate(event: Event, old: Readonly<Event>): FieldError[] {
  return IMMUTABLE.flatMap(([field, name]) => immutable(event[field], old[field], name));
}
