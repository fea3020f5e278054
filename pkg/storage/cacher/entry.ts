import { endOfObject, type KubeObject, parseJson } from "#pkg/apimachinery/index.ts";
import type { CacheEntry } from "./contract.ts";
import { type EncodedValue, encodeValue, type Place, Slab, type Span } from "./encode.ts";

/** An object carries its own revision only in memory; on the way out it is spliced in behind the opening of metadata. */
const CANONICAL_HEAD = /^\{"apiVersion":"[^"\\]*","kind":"[^"\\]*","metadata":\{$/;
const METADATA = Buffer.from('"metadata":{');
/** apiVersion (group 253 + version 63) and kind (63) with their quotes fit easily. */
const MAX_HEAD_BYTES = 512;
const CLOSING_BRACE = 0x7d;

/** Values of each index of the resource, in the order of its index list. */
export type IndexValues = readonly (readonly string[])[];
export const NO_INDEX_VALUES: IndexValues = [];

/** Length of the part before the revision's place, or -1 when the value was written in another form. */
function headLength(value: Buffer): number {
  const at = value.subarray(0, MAX_HEAD_BYTES).indexOf(METADATA);
  if (at < 0) return -1;
  const length = at + METADATA.length;
  return CANONICAL_HEAD.test(value.toString("latin1", 0, length)) ? length : -1;
}

/** See {@link CacheEntry}. */
export class Entry implements CacheEntry {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  readonly json: Buffer;
  readonly #headLength: number;
  /** Bytes of the spliced-in revision. */
  readonly #spliceLength: number;
  #object: Readonly<KubeObject> | undefined;
  /** Where the fields of `#object` are, as far as they are large; counted from the stored form. */
  #spans: readonly Span[] = [];
  #variants: Map<string, unknown> | undefined;
  /** Where the managed fields are in the stored form, if that is known; their comma stands before them. */
  #managed: Place | undefined;
  /** Where the metadata ends in `json`; found on first use. */
  #metadataEnd = 0;
  indexValues: IndexValues = NO_INDEX_VALUES;

  private constructor(place: EntryPlace, revision: number, json: Buffer, headBytes: number, spliceBytes: number) {
    this.key = place.key;
    this.namespace = place.namespace;
    this.name = place.name;
    this.revision = revision;
    this.json = json;
    this.#headLength = headBytes;
    this.#spliceLength = spliceBytes;
  }
  /** The entry for a stored value; `source` is what the value was made from, if that is known. */
  static fromValue(place: EntryPlace, value: Uint8Array, revision: number, source?: ValueSource): Entry {
    let bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    let head = source?.head ?? headLength(bytes);
    if (head < 0) {
      bytes = canonicalize(bytes, place.key);
      head = headLength(bytes);
    }
    const comma = bytes[head] === CLOSING_BRACE ? "" : ",";
    const splice = `"resourceVersion":"${revision}"${comma}`;
    // A buffer of its own: entries live long, and a slice would keep its whole pool alive.
    const json = Buffer.allocUnsafeSlow(bytes.length + splice.length);
    bytes.copy(json, 0, 0, head);
    json.write(splice, head, "latin1");
    bytes.copy(json, head + splice.length, head);
    const entry = new Entry(place, revision, json, head, splice.length);
    if (source !== undefined) {
      entry.#managed = source.managed;
      entry.adopt(source.object, source.spans);
    }
    return entry;
  }
  get object(): Readonly<KubeObject> {
    this.#object ??= freeze(parseJson(this.json.toString()) as KubeObject);
    return this.#object;
  }
  get leanJson(): readonly Buffer[] {
    if (this.#managed === undefined) return [this.json];
    const { start, end } = this.#managed;
    // The revision stands before them, so that there is always a comma between.
    return [this.json.subarray(0, start + this.#spliceLength - 1), this.json.subarray(end + this.#spliceLength)];
  }
  get metadataJson(): Buffer {
    const start = this.#headLength - 1;
    if (this.#metadataEnd === 0) this.#metadataEnd = endOfObject(this.json, start);
    return this.json.subarray(start, this.#metadataEnd);
  }
  /** Takes over the object this entry was written from, which spares parsing it, and later writing it whole. */
  adopt(object: KubeObject, spans: readonly Span[] = []): void {
    if (this.#object !== undefined) return;
    this.#spans = spans;
    const metadata = { ...object.metadata, resourceVersion: String(this.revision) };
    if (Object.isFrozen(object)) {
      this.#object = freeze({ ...object, metadata });
    } else {
      object.metadata = metadata;
      this.#object = freeze(object);
    }
  }
  /** The bytes of a field, if they are known and the field is `value`, the same one. */
  bytesOf(field: string, value: unknown): Buffer | undefined {
    if (this.#spans.length === 0 || this.#object![field] !== value) return undefined;
    const span = this.#spans.find((each) => each.field === field);
    return span && this.json.subarray(span.start + this.#spliceLength, span.end + this.#spliceLength);
  }
  /** The last state of a deleted object, carrying the revision of the deletion. */
  deletedAt(revision: number): Entry {
    const entry = Entry.fromValue(this, this.value(), revision);
    entry.indexValues = this.indexValues;
    entry.#managed = this.#managed;
    if (this.#object !== undefined) entry.adopt({ ...this.#object });
    return entry;
  }
  /** The stored form. */
  value(): Buffer {
    const behind = this.#headLength + this.#spliceLength;
    return Buffer.concat([this.json.subarray(0, this.#headLength), this.json.subarray(behind)]);
  }
  /** Would storing `value`, made from `object`, change nothing? */
  equals(value: Buffer, object: KubeObject): boolean {
    if (value.length + this.#spliceLength !== this.json.length) return false;
    const head = this.#headLength;
    const same =
      value.compare(this.json, 0, head, 0, head) === 0 &&
      value.compare(this.json, head + this.#spliceLength, this.json.length, head) === 0;
    // The same fields in another order have the same length.
    return same || sameJson(withoutRevision(this.object), withoutRevision(object));
  }
  variant<T>(variant: string, make: (entry: CacheEntry) => T): T {
    this.#variants ??= new Map();
    if (this.#variants.has(variant)) return this.#variants.get(variant) as T;
    const made = make(this);
    this.#variants.set(variant, made);
    return made;
  }
}

/** What a value was made from. */
export interface ValueSource extends Omit<EncodedValue, "bytes"> {
  readonly object: KubeObject;
}

export interface EntryPlace {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
}

/** A value some other program wrote: brought into our order of fields. */
function canonicalize(value: Buffer, key: string): Buffer {
  let object: unknown;
  try {
    object = parseJson(value.toString());
  } catch (cause) {
    throw new Error(`the value of ${key} is not JSON`, { cause });
  }
  if (typeof object !== "object" || object === null) throw new Error(`the value of ${key} is not a JSON object`);
  const candidate = object as KubeObject;
  return encodeValue({ ...candidate, metadata: candidate.metadata ?? {} }, "", "", new Slab()).bytes;
}

/** Shallow, with metadata: deep freezing costs more than parsing; the rest of the tree is shared on trust. */
function freeze(object: KubeObject): Readonly<KubeObject> {
  Object.freeze(object.metadata);
  return Object.freeze(object);
}

function withoutRevision(object: Readonly<KubeObject>): unknown {
  return { ...object, metadata: { ...object.metadata, resourceVersion: undefined } };
}

/** Equality of what JSON.stringify would write, whatever the order of fields; undefined fields count as absent. */
function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, index) => sameJson(item, b[index]))
    );
  }
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  return (
    Object.keys(left).every((field) => sameJson(left[field], right[field])) &&
    Object.keys(right).every((field) => right[field] === undefined || left[field] !== undefined)
  );
}
