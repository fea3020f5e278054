import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { compareKeys, prefixEnd } from "../keys.ts";
import { SortedMap } from "../sorted-map.ts";
import type { StoreEvent } from "../store.ts";
import type { CacheListOptions } from "./contract.ts";
import { Entry, type EntryPlace, NO_INDEX_VALUES, type ValueSource } from "./entry.ts";
import { type EntryEvent, EventRing, type EventRingLimits } from "./event-ring.ts";
import { WatcherSet } from "./watcher-set.ts";

/** Values under which an index files an object; undefined or an empty array: under none. */
export type IndexFunction = (object: Readonly<KubeObject>) => string | readonly string[] | undefined;

export interface ResourceStateOptions {
  /** Key prefix with a closing slash. */
  readonly prefix: string;
  readonly namespaced: boolean;
  readonly indexes: Readonly<Record<string, IndexFunction>>;
  readonly ringLimits: EventRingLimits;
}

/** A list without its consistency, which is settled before the state is looked at. */
export type Selection = Omit<CacheListOptions, "consistency">;

/** What is known of one resource: present objects in key order, by index, recent events, and who watches. */
export class ResourceState {
  readonly prefix: string;
  readonly #namespaced: boolean;
  readonly #indexFunctions: readonly IndexFunction[];
  readonly #ringLimits: EventRingLimits;
  readonly entries = new SortedMap<Entry>();
  /** Per index: value → key → entry. */
  readonly #indexes: readonly Map<string, Map<string, Entry>>[];
  readonly watchers: WatcherSet;
  ring: EventRing;
  /** Revision of the last load or event. */
  revision = 0;
  /** Events up to here are contained in what was loaded. Several may share a later revision. */
  loadedRevision = 0;
  sequence = 0;

  constructor(options: ResourceStateOptions) {
    this.prefix = options.prefix;
    this.#namespaced = options.namespaced;
    const names = Object.keys(options.indexes);
    this.#indexFunctions = names.map((name) => options.indexes[name]!);
    this.#indexes = names.map(() => new Map<string, Map<string, Entry>>());
    this.watchers = new WatcherSet(names);
    this.#ringLimits = options.ringLimits;
    this.ring = new EventRing(0, 0, options.ringLimits);
  }
  keyOf(namespace: string, name: string): string {
    return this.#namespaced ? `${this.prefix}${namespace}/${name}` : `${this.prefix}${name}`;
  }
  placeOf(key: string): EntryPlace {
    const rest = key.slice(this.prefix.length);
    const slash = this.#namespaced ? rest.indexOf("/") : -1;
    return { key, namespace: slash < 0 ? "" : rest.slice(0, slash), name: rest.slice(slash + 1) };
  }
  makeEntry(key: string, value: Uint8Array, revision: number, source?: ValueSource): Entry {
    const entry = Entry.fromValue(this.placeOf(key), value, revision, source);
    if (this.#indexFunctions.length > 0) {
      entry.indexValues = this.#indexFunctions.map((index) => {
        const values = index(entry.object);
        return values === undefined ? [] : typeof values === "string" ? [values] : values;
      });
    }
    return entry;
  }
  /** Replaces everything; events before `revision` are unknown from now on. */
  load(entries: readonly Entry[], revision: number): void {
    this.entries.clear();
    for (const index of this.#indexes) index.clear();
    for (const entry of entries) this.#put(entry, undefined);
    this.revision = revision;
    this.loadedRevision = revision;
    this.ring = new EventRing(revision, this.sequence, this.#ringLimits);
  }
  /** Applies one event and tells its audience; returns the entry that it left. */
  apply(event: StoreEvent, entry: Entry | undefined): Entry | undefined {
    const previous = this.entries.get(event.key);
    this.revision = event.modRevision;
    const change = entry ?? previous?.deletedAt(event.modRevision);
    if (change === undefined) return undefined;
    if (entry === undefined) this.#remove(previous!);
    else this.#put(entry, previous);
    const type = entry === undefined ? "DELETED" : previous === undefined ? "ADDED" : "MODIFIED";
    const sequence = ++this.sequence;
    const told: EntryEvent = { type, entry: change, previous, revision: event.modRevision, sequence };
    this.ring.push(told);
    this.watchers.dispatch(told);
    return change;
  }
  /** Selected entries in key order, `filter` and limit not applied. */
  visit(selection: Selection, visit: (entry: Entry) => boolean | void): void {
    const { namespace = "", name, index } = selection;
    if (name !== undefined && (namespace !== "" || !this.#namespaced)) {
      const entry = this.entries.get(this.keyOf(namespace, name));
      if (entry !== undefined && behind(entry, selection.startAfter)) visit(entry);
      return;
    }
    const indexAt = this.watchers.indexAt(index);
    if (index !== undefined && indexAt >= 0) {
      const found = [...(this.#indexes[indexAt]!.get(index.value)?.values() ?? [])];
      found.sort((a, b) => compareKeys(a.key, b.key));
      for (const entry of found) {
        if (!this.#inScope(entry, namespace, name) || !behind(entry, selection.startAfter)) continue;
        if (visit(entry) === false) return;
      }
      return;
    }
    const { start, end } = this.bounds(namespace, selection.startAfter);
    this.entries.visit(start, end, (entry) => (name === undefined || entry.name === name ? visit(entry) : undefined));
  }
  /** Keys of a namespace ("": of all) behind `startAfter`. */
  bounds(namespace: string, startAfter?: string): { prefix: string; start: string; end: string | undefined } {
    const prefix = namespace === "" || !this.#namespaced ? this.prefix : `${this.prefix}${namespace}/`;
    const start = startAfter !== undefined && compareKeys(startAfter, prefix) >= 0 ? `${startAfter}\0` : prefix;
    return { prefix, start, end: prefixEnd(prefix) };
  }
  /** One object as it was at `revision`, which is not below the ring's start. */
  entryAt(key: string, revision: number): Entry | undefined {
    const change = this.ring.after(revision).find((event) => event.entry.key === key);
    return change === undefined ? this.entries.get(key) : change.previous;
  }
  /** All entries as they were at `revision`, which is not below the ring's start, in key order. */
  entriesAt(revision: number): Entry[] {
    const changed = new Map<string, Entry | undefined>();
    for (const event of this.ring.after(revision)) {
      if (!changed.has(event.entry.key)) changed.set(event.entry.key, event.previous);
    }
    const entries: Entry[] = [];
    this.entries.visit(this.prefix, prefixEnd(this.prefix), (entry) => {
      if (!changed.has(entry.key)) {
        entries.push(entry);
        return;
      }
      const then = changed.get(entry.key);
      if (then !== undefined) entries.push(then);
      changed.delete(entry.key);
    });
    const deleted = [...changed.values()].filter((entry) => entry !== undefined);
    if (deleted.length === 0) return entries;
    return entries.concat(deleted).sort((a, b) => compareKeys(a.key, b.key));
  }
  /** Does the selection, apart from `filter`, include the entry? */
  selects(selection: Selection, entry: Entry): boolean {
    const { index } = selection;
    const indexAt = this.watchers.indexAt(index);
    if (index !== undefined && indexAt >= 0 && !entry.indexValues[indexAt]!.includes(index.value)) return false;
    return this.#inScope(entry, selection.namespace ?? "", selection.name) && behind(entry, selection.startAfter);
  }

  #inScope(entry: Entry, namespace: string, name: string | undefined): boolean {
    if (namespace !== "" && this.#namespaced && entry.namespace !== namespace) return false;
    return name === undefined || entry.name === name;
  }
  #put(entry: Entry, previous: Entry | undefined): void {
    this.entries.set(entry.key, entry);
    if (previous !== undefined) this.#unindex(previous);
    for (const [at, index] of this.#indexes.entries()) {
      for (const value of entry.indexValues[at]!) {
        const filed = index.get(value);
        if (filed === undefined) index.set(value, new Map([[entry.key, entry]]));
        else filed.set(entry.key, entry);
      }
    }
  }
  #remove(entry: Entry): void {
    this.entries.delete(entry.key);
    this.#unindex(entry);
  }
  #unindex(entry: Entry): void {
    if (entry.indexValues === NO_INDEX_VALUES) return;
    for (const [at, index] of this.#indexes.entries()) {
      for (const value of entry.indexValues[at]!) {
        const filed = index.get(value);
        filed?.delete(entry.key);
        if (filed?.size === 0) index.delete(value);
      }
    }
  }
}

function behind(entry: Entry, startAfter: string | undefined): boolean {
  return startAfter === undefined || compareKeys(entry.key, startAfter) > 0;
}
