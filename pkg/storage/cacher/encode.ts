import { findOnce, isRecord, isShared, type KubeObject } from "#pkg/apimachinery/index.ts";
import { textOfEntries } from "#pkg/apimachinery/managedfields/index.ts";

/** Where in a stored value the JSON of one of the object's fields lies. */
export interface Span {
  readonly field: string;
  readonly start: number;
  readonly end: number;
}

/** A stored value, and where its large fields are in it. */
export interface EncodedValue {
  readonly bytes: Buffer;
  readonly spans: readonly Span[];
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
  const parts: (string | Buffer)[] = [];
  const spans: Span[] = [];
  let length = 0;
  let text = headOf(object, apiVersion, kind);
  for (const field of Object.keys(object)) {
    if (field === "apiVersion" || field === "kind" || field === "metadata") continue;
    const value = before?.(field, object[field]) ?? textOf(object[field]);
    if (value === undefined) continue;
    text += `,${JSON.stringify(field)}:`;
    if (typeof value === "string" && value.length < MIN_SPAN) {
      text += value;
      continue;
    }
    const start = length + Buffer.byteLength(text);
    const end = start + (typeof value === "string" ? Buffer.byteLength(value) : value.length);
    spans.push({ field, start, end });
    parts.push(text, value);
    length = end;
    text = "";
  }
  text += "}";
  parts.push(text);
  const bytes = slab.take(length + Buffer.byteLength(text));
  let at = 0;
  for (const part of parts) at += typeof part === "string" ? bytes.write(part, at) : part.copy(bytes, at);
  return { bytes, spans };
}

/** The text of a shared value is written once, and copied from then on. */
function textOf(value: unknown): string | Buffer | undefined {
  if (isShared(value)) return findOnce(value as object, encodeValue, () => Buffer.from(JSON.stringify(value)));
  if (!isRecord(value) || !Object.values(value).some(isShared)) return JSON.stringify(value);
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

function headOf({ apiVersion, kind, metadata }: KubeObject, group: string, name: string): string {
  const { resourceVersion: _revision, managedFields, ...rest } = metadata;
  const head = `{"apiVersion":${JSON.stringify(apiVersion ?? group)},"kind":${JSON.stringify(kind ?? name)}`;
  const text = `${head},"metadata":${JSON.stringify(rest)}`;
  if (managedFields === undefined) return text;
  // Nothing else is as long, and most of it has been written before.
  const comma = text.endsWith("{}") ? "" : ",";
  return `${text.slice(0, -1)}${comma}"managedFields":${textOfEntries(managedFields)}}`;
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
