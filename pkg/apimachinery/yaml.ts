/**
 * YAML as sigs.k8s.io/yaml reads it: YAML 1.1 scalars (yes, no, on, off, 0644), every key a string, the first document
 * of a stream, and JSON data as the result. Values are built from js-yaml's events, so that repeated keys, merge keys
 * and alias bombs are judged here.
 */
import {
  dump,
  DUMP_SCHEMA,
  EVENT_ID,
  type Event,
  getScalarValue,
  intYaml11Tag,
  parseEvents,
  SCALAR_STYLE,
  type ScalarTagDefinition,
  type ScalarEvent,
  YAMLException,
} from "js-yaml";
import { deepCopy, isRecord, setMember } from "./deep.ts";
import { DecodeError, type Decoded, decodeJson, exactInteger, memberPath } from "./json.ts";

const MAX_YAML_DEPTH = 500;
/** Nodes that aliases may add to a document. */
const MAX_ALIASED_NODES = 100_000;

export interface DecodedYaml extends Decoded {
  /** The same repetitions in go-yaml's words: `line 10: key "replicas" already set in map`. */
  readonly duplicateMessages: readonly string[];
}

const NULLS = new Set(["", "~", "null", "Null", "NULL"]);
const TRUE = new Set(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"]);
const FALSE = new Set(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"]);
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;

/** A whole number in any of go-yaml's bases, or undefined. */
function parseInteger(text: string): number | bigint | undefined {
  const plain = text.replaceAll("_", "");
  const match = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]([0-7]+)|0([0-7]+)|(0|[1-9][0-9]*))$/.exec(plain);
  if (match === null) return undefined;
  const [, sign, hex, binary, octal, legacyOctal, decimal] = match;
  if (decimal !== undefined) return exactInteger(sign === "-" ? `-${decimal}` : decimal) || 0;
  const magnitude =
    hex !== undefined
      ? BigInt(`0x${hex}`)
      : binary !== undefined
        ? BigInt(`0b${binary}`)
        : BigInt(`0o${octal ?? legacyOctal}`);
  return exactInteger(String(sign === "-" ? -magnitude : magnitude));
}

function goFloat(text: string): string {
  if (/nan/i.test(text)) return "NaN";
  return text.startsWith("-") ? "-Inf" : "+Inf";
}

/** The value of an untagged plain scalar. */
function resolvePlain(text: string): unknown {
  const first = text.charCodeAt(0);
  const numeric = (first >= 0x30 && first <= 0x39) || first === 0x2d || first === 0x2b || first === 0x2e;
  if (numeric) {
    const integer = parseInteger(text);
    if (integer !== undefined) return integer;
    const plain = text.replaceAll("_", "");
    if (FLOAT.test(plain)) return Number(plain);
    if (/^[-+]?\.(?:inf|Inf|INF)$/.test(text) || /^\.(?:nan|NaN|NAN)$/.test(text)) {
      throw new DecodeError(`json: unsupported value: ${goFloat(text)}`);
    }
    return text;
  }
  if (NULLS.has(text)) return null;
  if (TRUE.has(text)) return true;
  if (FALSE.has(text)) return false;
  return text;
}

function resolveTagged(tag: string, text: string): unknown {
  switch (tag) {
    case "!!null":
      return null;
    case "!!bool":
    case "!!int":
    case "!!float":
      return resolvePlain(text);
    case "!!binary":
      return Buffer.from(text, "base64").toString("utf8");
    default:
      return text;
  }
}

function countNodes(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  let count = 1;
  for (const item of Object.values(value)) count += countNodes(item);
  return count;
}

class Builder {
  readonly #source: string;
  readonly #events: readonly Event[];
  readonly #anchors = new Map<string, { value: unknown; nodes: number }>();
  #next = 0;
  #aliasedNodes = 0;
  readonly duplicates: string[] = [];
  readonly duplicateMessages: string[] = [];

  constructor(source: string, events: readonly Event[]) {
    this.#source = source;
    this.#events = events;
  }

  document(): unknown {
    if (this.#events.length === 0) return null;
    this.#next = 1; // behind the document's own event
    return this.#events[1]!.type === EVENT_ID.POP ? null : this.#node("");
  }

  #line(position: number): number {
    let line = 1;
    for (let i = this.#source.indexOf("\n"); i >= 0 && i < position; i = this.#source.indexOf("\n", i + 1)) line++;
    return line;
  }
  #tag(event: { tagStart: number; tagEnd: number }): string {
    if (event.tagStart < 0) return "";
    const tag = this.#source.slice(event.tagStart, event.tagEnd);
    return tag.startsWith("!<tag:yaml.org,2002:") ? `!!${tag.slice(20, -1)}` : tag;
  }

  #node(path: string): unknown {
    const event = this.#events[this.#next++]!;
    switch (event.type) {
      case EVENT_ID.SCALAR:
        return this.#anchored(event, this.#scalar(event));
      case EVENT_ID.SEQUENCE: {
        const items: unknown[] = [];
        while (this.#events[this.#next]!.type !== EVENT_ID.POP) items.push(this.#node(`${path}[${items.length}]`));
        this.#next++;
        return this.#anchored(event, items);
      }
      case EVENT_ID.MAPPING:
        return this.#anchored(event, this.#mapping(path));
      case EVENT_ID.ALIAS:
        return this.#alias(event.anchorStart, event.anchorEnd);
      default:
        throw new DecodeError("yaml: unexpected event");
    }
  }

  #anchored(event: { anchorStart: number; anchorEnd: number }, value: unknown): unknown {
    if (event.anchorStart >= 0) {
      this.#anchors.set(this.#source.slice(event.anchorStart, event.anchorEnd), { value, nodes: countNodes(value) });
    }
    return value;
  }

  #alias(start: number, end: number): unknown {
    const name = this.#source.slice(start, end);
    const anchor = this.#anchors.get(name);
    if (anchor === undefined) throw new DecodeError(`yaml: unknown anchor '${name}' referenced`);
    this.#aliasedNodes += anchor.nodes;
    if (this.#aliasedNodes > MAX_ALIASED_NODES) throw new DecodeError("yaml: document contains excessive aliasing");
    return deepCopy(anchor.value);
  }

  #scalar(event: ScalarEvent): unknown {
    const text = event.valueStart < 0 ? "" : getScalarValue(this.#source, event);
    const tag = this.#tag(event);
    if (tag !== "") return resolveTagged(tag, text);
    return event.style === SCALAR_STYLE.PLAIN ? resolvePlain(text) : text;
  }

  #mapping(path: string): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    const merged: unknown[] = [];
    const reported = new Set<string>();
    while (this.#events[this.#next]!.type !== EVENT_ID.POP) {
      const keyEvent = this.#events[this.#next]!;
      const isMerge = keyEvent.type === EVENT_ID.SCALAR && this.#isMerge(keyEvent);
      const key = this.#key(this.#node(path));
      if (isMerge) {
        merged.push(this.#node(path));
        continue;
      }
      if (Object.hasOwn(object, key)) this.#duplicate(path, key, keyEvent, reported);
      setMember(object, key, this.#node(memberPath(path, key)));
    }
    this.#next++;
    for (const source of merged) this.#merge(object, source);
    return object;
  }

  #isMerge(event: ScalarEvent): boolean {
    return (
      event.style === SCALAR_STYLE.PLAIN &&
      event.tagStart < 0 &&
      event.valueStart >= 0 &&
      getScalarValue(this.#source, event) === "<<"
    );
  }

  #key(key: unknown): string {
    if (typeof key === "string") return key;
    if (typeof key === "number" || typeof key === "bigint" || typeof key === "boolean") return String(key);
    const type = key === null ? "nil" : Array.isArray(key) ? "slice" : "map";
    throw new DecodeError(`unsupported map key of type: ${type}`);
  }

  #duplicate(path: string, key: string, event: Event, reported: Set<string>): void {
    if (this.duplicates.length >= 100) return;
    if (!reported.has(key)) this.duplicates.push(memberPath(path, key));
    reported.add(key);
    const position = event.type === EVENT_ID.SCALAR ? event.valueStart : 0;
    this.duplicateMessages.push(`line ${this.#line(position)}: key ${JSON.stringify(key)} already set in map`);
  }

  /** Members of a merge key's mapping (or list of mappings) that the mapping itself does not have. */
  #merge(object: Record<string, unknown>, source: unknown): void {
    for (const mapping of Array.isArray(source) ? source : [source]) {
      if (!isRecord(mapping)) throw new DecodeError("yaml: map merge requires map or sequence of maps as the value");
      for (const [key, value] of Object.entries(mapping)) {
        if (!Object.hasOwn(object, key)) setMember(object, key, value);
      }
    }
  }
}

/**
 * Decodes the first document of a YAML text; an empty text is null.
 * @throws DecodeError
 */
export function decodeYaml(text: string): DecodedYaml {
  return decodeAsJson(text) ?? decodeEvents(text);
}

/** Clients send JSON under YAML's name (kubectl's server-side apply does); reading it as such is ten times faster. */
function decodeAsJson(text: string): DecodedYaml | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const { value, duplicates } = decodeJson(text);
    // Repetitions are reported with their lines, which only the YAML reader knows.
    return duplicates.length > 0 ? undefined : { value, duplicates, duplicateMessages: [] };
  } catch (error) {
    if (error instanceof DecodeError) return undefined; // a flow mapping of YAML's own
    throw error;
  }
}

function decodeEvents(text: string): DecodedYaml {
  let events: Event[];
  try {
    events = parseEvents(text, { maxDepth: MAX_YAML_DEPTH });
  } catch (cause) {
    if (!(cause instanceof YAMLException)) throw cause;
    const where = cause.mark === undefined ? "" : `line ${cause.mark.line + 1}: `;
    throw new DecodeError(`yaml: ${where}${cause.reason}`, { cause });
  }
  const builder = new Builder(text, events);
  const value = builder.document();
  return { value, duplicates: builder.duplicates, duplicateMessages: builder.duplicateMessages };
}

/** js-yaml's own, whose integers may be BigInts. */
const WRITTEN = DUMP_SCHEMA.withTags(
  DUMP_SCHEMA.tags
    .filter((tag): tag is ScalarTagDefinition => tag.tagName === intYaml11Tag.tagName)
    .map((tag) => ({
      ...tag,
      identify: (data: unknown) => typeof data === "bigint" || tag.identify(data),
      represent: (data: unknown) => (typeof data === "bigint" ? String(data) : tag.represent(data)),
    })),
);

/** YAML with sorted keys, as kubectl and the API server print it. */
export function encodeYaml(value: unknown): string {
  return dump(value, {
    schema: WRITTEN,
    sortKeys: true,
    noRefs: true,
    seqNoIndent: true,
    lineWidth: -1,
    quoteStyle: "double",
    skipInvalid: true,
  });
}
