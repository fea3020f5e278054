import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import { deflateSegment, type GzipSegment, storedSegment } from "../http/gzip-segments.ts";

/** How a list is written around its items, and how those are. */
export interface ListForm {
  /** Distinguishes what items look like in this form from what they look like in others. */
  readonly name: string;
  /** What comes first; `itemBytes` is the length of all items with what separates them. */
  head(itemBytes: number): Buffer;
  /** Adds an item, with what separates it from one before it unless it is the first. */
  append(chunks: Buffer[], entry: CacheEntry, first: boolean): void;
  /** What separates two items; empty when nothing does. */
  readonly separator: Buffer;
  readonly tail: Buffer;
}

/** A run ends before a key whose hash is a multiple of it, so that an object more or less changes one run only. */
const MEAN_RUN = 16;
const MAX_RUN = 64;
/** Runs that are compressed at a time, for each list: as many as Node has threads for. */
const AT_A_TIME = 4;

/** Items that follow one another in lists, and what they are compressed. */
interface Run {
  readonly entries: readonly CacheEntry[];
  /** A later page brings the rest of it, and a whole list all of it. */
  readonly cut: boolean;
}

/** What was compressed last for a run that begins with a certain entry, which keeps it. */
interface Kept {
  /** Objects and revisions it was made from: entries themselves would live longer than they should. */
  keys: readonly string[];
  revisions: readonly number[];
  segment: Promise<GzipSegment> | undefined;
}

/**
 * A list, compressed. Most of a list is as it was when it was last asked for, so items are compressed in runs, and a
 * run's first entry keeps the result: a small part of what the entries take themselves, and gone with them. `more`: the
 * list goes on behind these entries.
 */
export async function gzipList(form: ListForm, entries: readonly CacheEntry[], more: boolean): Promise<GzipSegment[]> {
  const runs = runsOf(entries, more);
  const compressed: Promise<GzipSegment>[] = [];
  // The next one begins when the one so many places before it is done.
  for (const [at, run] of runs.entries()) {
    if (at >= AT_A_TIME) await compressed[at - AT_A_TIME];
    compressed.push(compress(form, run));
  }
  const separator = storedSegment(form.separator);
  const items: GzipSegment[] = [];
  for (const [at, segment] of compressed.entries()) {
    if (at > 0 && separator.bytes > 0) items.push(separator);
    items.push(await segment);
  }
  const itemBytes = items.reduce((sum, { bytes }) => sum + bytes, 0);
  return [storedSegment(form.head(itemBytes)), ...items, storedSegment(form.tail)];
}

/** Cut where keys say so, wherever the list begins. */
function runsOf(entries: readonly CacheEntry[], more: boolean): Run[] {
  const runs: Run[] = [];
  let start = 0;
  for (let at = 1; at <= entries.length; at++) {
    const last = at === entries.length;
    if (!last && at - start < MAX_RUN && !beginsRun(entries[at]!, entries[at - 1]!)) continue;
    runs.push({ entries: entries.slice(start, at), cut: last && more });
    start = at;
  }
  return runs;
}

function beginsRun({ key, namespace }: CacheEntry, before: CacheEntry): boolean {
  // Lists of one namespace and of all of them share their runs.
  if (namespace !== before.namespace) return true;
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0;
  return hash % MEAN_RUN === 0;
}

function compress(form: ListForm, { entries, cut }: Run): Promise<GzipSegment> {
  const make = (): Promise<GzipSegment> => {
    const chunks: Buffer[] = [];
    for (const [at, entry] of entries.entries()) form.append(chunks, entry, at === 0);
    return deflateSegment(chunks);
  };
  if (cut) return make();
  const kept = entries[0]!.variant(`${form.name}:gzip`, (): Kept => ({ keys: [], revisions: [], segment: undefined }));
  if (kept.segment !== undefined && isOf(kept, entries)) return kept.segment;
  const segment = make();
  kept.keys = entries.map(({ key }) => key);
  kept.revisions = entries.map(({ revision }) => revision);
  kept.segment = segment;
  segment.catch(() => {
    if (kept.segment === segment) kept.segment = undefined;
  });
  return segment;
}

function isOf({ keys, revisions }: Kept, entries: readonly CacheEntry[]): boolean {
  if (keys.length !== entries.length) return false;
  return entries.every((entry, at) => entry.revision === revisions[at] && entry.key === keys[at]);
}
