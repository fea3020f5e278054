import { findOnce, isRecord, isShared, type KubeObject, type ObjectMeta } from "#pkg/apimachinery/index.ts";
import { writeEntries } from "#pkg/apimachinery/managedfields/index.ts";

/** A part of a stored value, in bytes from its beginning. */
export interface Place {
  readonly start: number;
  readonly end: number;
}
/** Where in a stored value the JSON of one of the object's fields lies. */
export interface Span extends Place {
  readonly field: string;
}

/** A stored value, where the revision goes, and where its large fields and its managed fields (with their key) are in it. */
export interface EncodedValue {
  readonly bytes: Buffer;
  readonly head: number;
  readonly spans: readonly Span[];
  readonly managed: Place | undefined;
}

/** Bytes of a field of the version before, if it is the same one. */
export type WrittenBefore = (field: string, value: unknown) => Buffer | undefined;

/** Shorter fields are written again in no time. */
const MIN_SPAN = 256;

/**
 * The stored form of an object: JSON without metadata.resourceVersion, with apiVersion, kind and metadata in front, so
 * that the place of the revision is known without parsing. What `before` has is copied instead of written.
 */
export function encodeValue(
  object: KubeObject,
  apiVersion: string,
  kind: string,
  slab: Slab,
  before?: WrittenBefore,
): EncodedValue {
  const pieces = new Pieces();
  const spans: Span[] = [];
  const head = `{"apiVersion":${JSON.stringify(object.apiVersion ?? apiVersion)},"kind":${JSON.stringify(object.kind ?? kind)},"metadata":{`;
  pieces.text = head;
  const managed = writeMetadata(object.metadata, pieces);
  for (const field of Object.keys(object)) {
    if (field === "apiVersion" || field === "kind" || field === "metadata") continue;
    const value = before?.(field, object[field]) ?? textOf(object[field]);
    if (value === undefined) continue;
    pieces.text += `,${JSON.stringify(field)}:`;
    if (typeof value === "string" && value.length < MIN_SPAN) pieces.text += value;
    else spans.push({ field, ...pieces.add(value) });
  }
  pieces.text += "}";
  return { bytes: pieces.join(slab), head: Buffer.byteLength(head), spans, managed };
}

/** What a value is put together from. */
class Pieces {
  readonly #pieces: (string | Buffer)[] = [];
  #length = 0;
  /** What comes next, as far as it is short. */
  text = "";

  /** Adds something long. Returns where it will be. */
  add(piece: string | Buffer): Place {
    const start = this.end();
    this.#pieces.push(piece);
    this.#length += typeof piece === "string" ? Buffer.byteLength(piece) : piece.length;
    return { start, end: this.#length };
  }
  /** Where the next piece will be. */
  end(): number {
    if (this.text !== "") {
      this.#pieces.push(this.text);
      this.#length += Buffer.byteLength(this.text);
      this.text = "";
    }
    return this.#length;
  }
  join(slab: Slab): Buffer {
    if (this.text !== "") this.add("");
    const bytes = slab.take(this.#length);
    let at = 0;
    for (const piece of this.#pieces) at += typeof piece === "string" ? bytes.write(piece, at) : piece.copy(bytes, at);
    return bytes;
  }
}

/** The text of a shared value is written once, and copied from then on. */
function textOf(value: unknown): string | Buffer | undefined {
  if (isShared(value)) return findOnce(value as object, encodeValue, () => Buffer.from(JSON.stringify(value)));
  if (!isRecord(value) || !holdsShared(value)) return JSON.stringify(value);
  // The spec of a pod that has just been bound: one name, and for the rest what many have.
  let text = "{";
  for (const key in value) {
    const member = value[key];
    const written = isShared(member)
      ? findOnce(member as object, textOf, () => JSON.stringify(member))
      : JSON.stringify(member);
    if (written !== undefined) text += `${text === "{" ? "" : ","}${JSON.stringify(key)}:${written}`;
  }
  return `${text}}`;
}

/** Without a list of the members: there may be a hundred thousand. */
function holdsShared(value: Readonly<Record<string, unknown>>): boolean {
  for (const key in value) if (isShared(value[key])) return true;
  return false;
}

/** Writes metadata but for its opening brace and the revision. Returns where the managed fields are, if there are any. */
function writeMetadata(metadata: ObjectMeta, pieces: Pieces): Place | undefined {
  const { resourceVersion: _revision, managedFields, ...rest } = metadata;
  const text = JSON.stringify(rest).slice(1, -1);
  pieces.text += text;
  let managed: Place | undefined;
  if (managedFields !== undefined) {
    if (text !== "") pieces.text += ",";
    const start = pieces.end();
    // Nothing else is as long, and most of it has been written before.
    pieces.text += '"managedFields":';
    writeEntries(managedFields, (piece) => {
      if (typeof piece === "string") pieces.text += piece;
      else pieces.add(piece);
    });
    managed = { start, end: pieces.end() };
  }
  pieces.text += "}";
  return managed;
}

const SLAB_BYTES = 256 * 1024;

/** Memory for values on their way to the store: one allocation for many, as none of them lives long. */
export class Slab {
  #rest: Buffer = Buffer.alloc(0);

  take(size: number): Buffer {
    if (size > SLAB_BYTES / 8) return Buffer.allocUnsafeSlow(size);
    if (size > this.#rest.length) this.#rest = Buffer.allocUnsafeSlow(SLAB_BYTES);
    const taken = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(size);
    return taken;
  }
}
