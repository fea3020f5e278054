import { isDns1123Subdomain, isQualifiedName } from "#pkg/apimachinery/index.ts";
import type { Event } from "../types/core-v1.ts";
import { allInvalid, type FieldError, immutable, invalid, isEmpty, required, sameValue } from "../validation/rules.ts";

const MAX_WORD = 128;
const MAX_NOTE = 1024;
/** What every version has to say of an event: all of them are looked at in the form of core/v1. */
type ControllerField = "reportingComponent" | "reportingController";

/** The event and what it is about live in the same namespace; those about cluster-scoped objects go to "default". */
function validateNamespaces(event: Event): FieldError[] {
  const own = event.metadata.namespace ?? "";
  const about = event.involvedObject?.namespace ?? "";
  const isNew = !isEmpty(event.eventTime);
  const agrees = about === "" ? own === "default" || (isNew && own === "kube-system") : isNew || own === about;
  return agrees ? [] : [invalid("involvedObject.namespace", about, "does not match event.namespace")];
}

/** Events with a time of their own come from reporters that say who they are and what they did. */
function validateReport(event: Event, controllerField: ControllerField): FieldError[] {
  const { reportingComponent = "", reportingInstance = "", action = "", reason = "", message = "" } = event;
  const atMost = (value: string, field: string, most: number) =>
    Buffer.byteLength(value) > most ? [invalid(field, "", `can have at most ${most} characters`)] : [];
  const word = (value: string, field: string) => [
    ...(value === "" ? [required(field)] : []),
    ...atMost(value, field, MAX_WORD),
  ];
  return [
    ...(reportingComponent === "" ? [required(controllerField)] : []),
    ...allInvalid(controllerField, reportingComponent, isQualifiedName(reportingComponent)),
    ...word(reportingInstance, "reportingInstance"),
    ...word(action, "action"),
    ...word(reason, "reason"),
    ...atMost(message, "message", MAX_NOTE),
  ];
}

function validateAnyEvent(event: Event, controllerField: ControllerField): FieldError[] {
  const namespace = event.metadata.namespace ?? "";
  return [
    ...validateNamespaces(event),
    ...(isEmpty(event.eventTime) ? [] : validateReport(event, controllerField)),
    ...allInvalid("namespace", namespace, isDns1123Subdomain(namespace)),
  ];
}

export const validateCoreEvent = (event: Event): FieldError[] => validateAnyEvent(event, "reportingComponent");

function validateSeries({ series }: Event): FieldError[] {
  if (series === undefined) return [];
  return [
    ...((series.count ?? 0) < 2 ? [invalid("series.count", "", "should be at least 2")] : []),
    ...(isEmpty(series.lastObservedTime) ? [required("series.lastObservedTime")] : []),
  ];
}

/** events.k8s.io is strict where core is lenient. */
export function validateEvent(event: Event): FieldError[] {
  const errors = [...validateAnyEvent(event, "reportingController"), ...validateSeries(event)];
  const { type = "", source = {} } = event;
  if (isEmpty(event.eventTime)) errors.push(required("eventTime"));
  if (type !== "Normal" && type !== "Warning") errors.push(invalid("type", "", `has invalid value: ${type}`));
  for (const field of ["firstTimestamp", "lastTimestamp"] as const) {
    if (!isEmpty(event[field])) errors.push(invalid(field, "", "needs to be unset"));
  }
  if (event.count) errors.push(invalid("count", "", "needs to be unset"));
  if (!isEmpty(source.component) || !isEmpty(source.host)) errors.push(invalid("source", "", "needs to be unset"));
  return errors;
}

/** Fields that an update by events.k8s.io may not change, in the order in which they are compared. */
const IMMUTABLE: readonly (readonly [keyof Event, string])[] = [
  ["involvedObject", "involvedObject"],
  ["reason", "reason"],
  ["message", "message"],
  ["source", "source"],
  ["firstTimestamp", "firstTimestamp"],
  ["lastTimestamp", "lastTimestamp"],
  ["count", "count"],
  ["reason", "reason"],
  ["type", "type"],
  ["eventTime", "eventTime"],
  ["action", "action"],
  ["related", "related"],
  ["reportingComponent", "reportingController"],
  ["reportingInstance", "reportingInstance"],
];

/** What Go shows of a field that is not there. */
const ZERO: { readonly [F in keyof Event]?: unknown } = { count: 0, source: {}, involvedObject: {} };
const TEXTS: ReadonlySet<keyof Event> = new Set([
  "reason",
  "message",
  "type",
  "action",
  "reportingComponent",
  "reportingInstance",
]);

export function validateEventUpdate(event: Event, old: Readonly<Event>): FieldError[] {
  const zero = (field: keyof Event): unknown => (TEXTS.has(field) ? "" : ZERO[field]);
  return [
    ...validateAnyEvent(event, "reportingController"),
    ...(sameValue(event.series, old.series) ? [] : validateSeries(event)),
    ...IMMUTABLE.flatMap(([field, name]) => immutable(event[field] ?? zero(field), old[field] ?? zero(field), name)),
  ];
}
