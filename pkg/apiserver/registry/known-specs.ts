import { doubtfulMembers, type ResourceDefinition } from "#pkg/api/index.ts";
import { decodeJson, endOfObject, isTopLevel, type KubeObject, share } from "#pkg/apimachinery/index.ts";

const SPEC = Buffer.from('"spec":{');
/** From the start of the key to the brace of the value. */
const KEY_LENGTH = SPEC.length - 1;
/** Specs are filed under their first bytes: as many as tell templates apart, mostly. */
const FILE_BYTES = 64;
/** Known at a time, of these in one file, and met once so far; the oldest go first. */
const MAX_KNOWN = 256;
const MAX_PER_FILE = 24;
const MAX_NEW = 8;
/** New ones in a row after which only every one in so many is remembered: these clients do not repeat themselves. */
const MANY_NEW = 32;
const REMEMBERED_OF_MANY = 8;
/** Larger ones are rare and would be most of what is remembered. */
const MAX_BYTES = 16 * 1024;

interface KnownSpec {
  readonly file: string;
  readonly bytes: Buffer;
  /**
   * Decoded, checked, defaulted and shared by all that have it. Made when it is met for the second time; null when there
   * is something in it to report or to correct each time.
   */
  spec: object | null | undefined;
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
  /** Met once: specs that nobody repeats pass through here, and do not drive out those that are. */
  readonly #new: KnownSpec[] = [];
  #newInARow = 0;

  constructor(definition: ResourceDefinition) {
    this.#definition = definition;
  }

  /** The value of a JSON body whose spec is known, with that; undefined of any other, be it no JSON at all. */
  decode(body: Buffer): Record<string, unknown> | undefined {
    const at = body.indexOf(SPEC);
    if (at < 0) return undefined;
    const start = at + KEY_LENGTH;
    const known = this.#find(body, start);
    if (known === undefined || !known.spec || !isTopLevel(body, at)) return undefined;
    this.#newInARow = 0;
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

  /** Told of every body that has turned out to be JSON. */
  met(body: Buffer): void {
    if (!this.#looks()) return;
    const at = body.indexOf(SPEC);
    if (at < 0 || !isTopLevel(body, at)) return;
    const start = at + KEY_LENGTH;
    const known = this.#find(body, start);
    if (known === undefined) this.#remember(body, start);
    else if (known.spec === undefined) this.#know(known);
  }

  /** Is the next new spec worth a look? */
  #looks(): boolean {
    return ++this.#newInARow < MANY_NEW || this.#newInARow % REMEMBERED_OF_MANY === 0;
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
    this.#new.push(known);
    if (this.#new.length > MAX_NEW) this.#unfile(this.#new.shift()!);
  }

  #know(known: KnownSpec): void {
    this.#new.splice(this.#new.indexOf(known), 1);
    known.spec = this.#prepare(known.bytes);
    const filed = this.#files.get(known.file)!;
    const oldest = filed.length > MAX_PER_FILE ? filed.find(({ spec }) => spec !== undefined)! : this.#known[0];
    this.#known.push(known);
    if (this.#known.length <= MAX_KNOWN && filed.length <= MAX_PER_FILE) return;
    this.#known.splice(this.#known.indexOf(oldest!), 1);
    this.#unfile(oldest!);
  }

  #unfile(known: KnownSpec): void {
    const filed = this.#files.get(known.file)!;
    filed.splice(filed.indexOf(known), 1);
    if (filed.length === 0) this.#files.delete(known.file);
  }

  #prepare(bytes: Buffer): object | null {
    const { value, duplicates } = decodeJson(bytes);
    const spec = value as object;
    const { kind, schema } = this.#definition;
    const object: KubeObject = { apiVersion: "", kind, metadata: {}, spec };
    if (duplicates.length > 0 || doubtfulMembers(schema, { spec }) !== undefined) return null;
    this.#definition.applyDefaults(object);
    if (this.#definition.usesDisabled?.(object) === true) return null;
    return share(spec);
  }
}

function fileOf(body: Buffer, start: number): string {
  return body.toString("latin1", start, start + FILE_BYTES);
}
