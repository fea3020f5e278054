import type { ResourceDefinition } from "#pkg/api/index.ts";
import { decodeJson, endOfObject, isTopLevel, type KubeObject, parseJson, share } from "#pkg/apimachinery/index.ts";

const SPEC = Buffer.from('"spec":{');
/** From the start of the key to the brace of the value. */
const KEY_LENGTH = SPEC.length - 1;
/** Specs are filed under their first bytes: as many as tell templates apart, mostly. */
const FILE_BYTES = 64;
const MAX_PER_FILE = 16;
/** Remembered at a time; the oldest go first. */
const MAX_KNOWN = 256;
/** Larger ones are rare and would be most of what is remembered. */
const MAX_BYTES = 16 * 1024;

interface KnownSpec {
  readonly file: string;
  readonly bytes: Buffer;
  /** Decoded, checked, defaulted and shared by all that have it. Made when it is met for the second time. */
  spec: object | undefined;
}

/**
 * Pods are made from templates: a client that makes a thousand of them sends the same spec a thousand times, byte for
 * byte, and the spec is most of the body. One that has been met is not decoded, checked for unknown and repeated
 * fields and defaulted again: it is recognised by its bytes, and all objects that came with it share one (see `share`).
 */
export class KnownSpecs {
  readonly #definition: ResourceDefinition;
  readonly #files = new Map<string, KnownSpec[]>();
  readonly #known: KnownSpec[] = [];

  constructor(definition: ResourceDefinition) {
    this.#definition = definition;
  }

  /** The value of a JSON body whose spec is known, with that; undefined of any other, be it no JSON at all. */
  decode(body: Buffer): Record<string, unknown> | undefined {
    const at = body.indexOf(SPEC);
    if (at < 0) return undefined;
    const start = at + KEY_LENGTH;
    const known = this.#find(body, start);
    if (known?.spec === undefined || !isTopLevel(body, at)) return undefined;
    // A value in the place of another leaves the text as valid as it was: what is wrong with the rest shows.
    const rest = `${body.toString("utf8", 0, start)}null${body.toString("utf8", start + known.bytes.length)}`;
    try {
      const { value, duplicates } = decodeJson(rest);
      if (duplicates.length > 0) return undefined;
      const object = value as Record<string, unknown>;
      object["spec"] = known.spec;
      return object;
    } catch {
      return undefined; // Whoever decodes the whole of it has the words for what is wrong.
    }
  }

  /** Told of every JSON body that has turned out to be flawless. */
  met(body: Buffer): void {
    const at = body.indexOf(SPEC);
    if (at < 0 || !isTopLevel(body, at)) return;
    const start = at + KEY_LENGTH;
    const known = this.#find(body, start);
    if (known !== undefined) known.spec ??= this.#prepare(known.bytes);
    else this.#remember(body, start);
  }

  #find(body: Buffer, start: number): KnownSpec | undefined {
    const file = this.#files.get(fileOf(body, start));
    if (file === undefined) return undefined;
    return file.find(({ bytes }) => {
      const end = start + bytes.length;
      return end <= body.length && body.compare(bytes, 0, bytes.length, start, end) === 0;
    });
  }

  #remember(body: Buffer, start: number): void {
    const end = endOfObject(body, start);
    if (end - start > MAX_BYTES) return;
    const file = fileOf(body, start);
    const known: KnownSpec = { file, bytes: Buffer.from(body.subarray(start, end)), spec: undefined };
    const filed = this.#files.get(file);
    if (filed === undefined) this.#files.set(file, [known]);
    else filed.push(known);
    this.#known.push(known);
    if (filed !== undefined && filed.length > MAX_PER_FILE) this.#forget(filed[0]!);
    else if (this.#known.length > MAX_KNOWN) this.#forget(this.#known[0]!);
  }

  #forget(known: KnownSpec): void {
    this.#known.splice(this.#known.indexOf(known), 1);
    const filed = this.#files.get(known.file)!;
    filed.splice(filed.indexOf(known), 1);
    if (filed.length === 0) this.#files.delete(known.file);
  }

  #prepare(bytes: Buffer): object {
    const spec = parseJson(bytes.toString("utf8")) as object;
    const { kind } = this.#definition;
    const object: KubeObject = { apiVersion: "", kind, metadata: {}, spec };
    this.#definition.applyDefaults(object);
    return share(spec);
  }
}

function fileOf(body: Buffer, start: number): string {
  return body.toString("latin1", start, start + FILE_BYTES);
}
