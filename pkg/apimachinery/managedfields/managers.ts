/** The entries of metadata.managedFields as sets per manager, and back. */
import type { ManagedFieldsEntry } from "../object.ts";
import { type Fields, isEmpty, union } from "./fields.ts";
import { attachFields, type KnownFields, knownTextOf, knownTree } from "./known-fields.ts";

export interface Manager {
  readonly name: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly fields: Fields;
  /** The entry this came from, returned as it is when nothing changed. */
  readonly entry?: ManagedFieldsEntry;
}

const ANCIENT_CHANGES = "ancient-changes";
export const BEFORE_FIRST_APPLY = "before-first-apply";
/** Updaters beyond this many are merged, oldest first. */
const MAX_UPDATE_MANAGERS = 10;

type Identity = Pick<Manager, "name" | "operation" | "apiVersion" | "subresource">;

/** Are these entries of one manager? An applier keeps its identity over API versions. */
export function isSameManager(a: Identity, b: Identity): boolean {
  return (
    a.name === b.name &&
    a.operation === b.operation &&
    a.subresource === b.subresource &&
    (a.operation === "Apply" || a.apiVersion === b.apiVersion)
  );
}

/** Equal for entries of one manager, and what they are sorted by. */
export function identityOf(manager: Identity): string {
  const { name, operation, apiVersion, subresource } = manager;
  return JSON.stringify([name, operation, operation === "Apply" ? "" : apiVersion, subresource]);
}

/** undefined when an entry is malformed. */
export function decodeManagers(entries: readonly ManagedFieldsEntry[] | undefined): Manager[] | undefined {
  const managers: Manager[] = [];
  const seen = new Map<string, number>();
  for (const entry of entries ?? []) {
    const { operation, fieldsType, fieldsV1 } = entry;
    if (operation !== "Apply" && operation !== "Update") return undefined;
    if (fieldsType !== undefined && fieldsType !== "FieldsV1") return undefined;
    const manager: Manager = {
      name: entry.manager ?? "",
      operation,
      apiVersion: entry.apiVersion ?? "",
      subresource: entry.subresource ?? "",
      time: entry.time,
      fields: (fieldsV1 ?? {}) as Fields,
      entry,
    };
    const identity = identityOf(manager);
    const twin = seen.get(identity);
    if (twin === undefined) {
      seen.set(identity, managers.length);
      managers.push(manager);
    } else managers[twin] = { ...manager, fields: union(managers[twin]!.fields, manager.fields), entry: undefined };
  }
  return managers;
}

const secondsOf = (time: string | undefined): number => (time === undefined ? 0 : Math.floor(Date.parse(time) / 1000));
const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export function encodeManagers(managers: readonly Manager[]): ManagedFieldsEntry[] {
  return managers
    .filter(({ fields }) => !isEmpty(fields))
    .sort(
      (a, b) =>
        compareText(a.operation, b.operation) ||
        secondsOf(a.time) - secondsOf(b.time) ||
        compareText(a.name, b.name) ||
        compareText(a.apiVersion, b.apiVersion) ||
        compareText(a.subresource, b.subresource),
    )
    .map(encodeManager);
}

function encodeManager({ name, operation, apiVersion, subresource, time, fields, entry }: Manager): ManagedFieldsEntry {
  if (entry !== undefined && entry.fieldsV1 === fields && entry.time === time) return entry;
  return entryOf({ name, operation, apiVersion, subresource, time }, knownTree(fields));
}

/** An entry whose `fieldsV1` is made when it is asked for. It may be many objects' own, and cannot be changed. */
export function entryOf(manager: Omit<Manager, "fields" | "entry">, fields: KnownFields): ManagedFieldsEntry {
  const { entry } = fields;
  if (entry !== undefined && isOf(manager, entry)) return entry;
  return (fields.entry = newEntry(manager, fields));
}

function isOf(manager: Omit<Manager, "fields" | "entry">, entry: ManagedFieldsEntry): boolean {
  return (
    entry.time === manager.time &&
    entry.manager === manager.name &&
    entry.operation === manager.operation &&
    entry.apiVersion === manager.apiVersion &&
    (entry.subresource ?? "") === manager.subresource
  );
}

function newEntry(
  { name, operation, apiVersion, subresource, time }: Omit<Manager, "fields" | "entry">,
  fields: KnownFields,
): ManagedFieldsEntry {
  const entry: ManagedFieldsEntry = { manager: name, operation, apiVersion };
  if (time !== undefined) entry.time = time;
  entry.fieldsType = "FieldsV1";
  const head = `${JSON.stringify(entry).slice(0, -1)},"fieldsV1":`;
  const tail = subresource === "" ? "}" : `,"subresource":${JSON.stringify(subresource)}}`;
  attachFields(entry, { head, fields, tail });
  if (subresource !== "") entry.subresource = subresource;
  return Object.freeze(entry);
}

/** Writes `JSON.stringify(entries)` in pieces, sparing what has been written before. */
export function writeEntries(entries: readonly ManagedFieldsEntry[], write: (piece: string | Buffer) => void): void {
  let text = "[";
  for (const [index, entry] of entries.entries()) {
    if (index > 0) text += ",";
    const known = knownTextOf(entry);
    if (known === undefined) {
      text += JSON.stringify(entry);
      continue;
    }
    write(text + known.head);
    write(known.fields.bytes);
    text = known.tail;
  }
  write(`${text}]`);
}

/** Merges the oldest updaters, per API version, into one called "ancient-changes" until at most ten are left. */
export function capManagers(managers: readonly Manager[]): readonly Manager[] {
  const updaters = managers.filter(({ operation }) => operation === "Update");
  let excess = updaters.length - MAX_UPDATE_MANAGERS;
  if (excess <= 0) return managers;
  updaters.sort((a, b) => secondsOf(a.time) - secondsOf(b.time) || compareText(identityOf(a), identityOf(b)));
  const remaining = new Set(managers);
  const buckets = new Map<string, Manager>();
  for (const manager of updaters) {
    if (excess <= 0) break;
    const first = buckets.get(manager.apiVersion);
    if (first === undefined) {
      buckets.set(manager.apiVersion, manager);
      continue;
    }
    const merged: Manager = {
      name: ANCIENT_CHANGES,
      operation: "Update",
      apiVersion: manager.apiVersion,
      subresource: "",
      time: manager.time,
      fields: union(manager.fields, first.fields),
    };
    remaining.delete(first);
    remaining.delete(manager);
    remaining.add(merged);
    buckets.set(manager.apiVersion, merged);
    excess--;
  }
  return [...remaining];
}
