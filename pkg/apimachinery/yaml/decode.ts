/**
 * YAML as sigs.k8s.io/yaml reads it: YAML 1.1 scalars (yes, no, on, off, 0644), every key a string, the first document
 * of a stream, and JSON data as the result. The errors of a body are told to its sender, who knows libyaml's: no
 * library of JavaScript refuses the same documents, nor in those words.
 */
import { setMember } from "../deep.ts";
import { DecodeError, decodeJson } from "../json.ts";
import { type AliasNode, type MappingNode, parseYaml, type YamlNode } from "./parser.ts";
import { goFloat, isUnsigned, numericKey, resolveScalar, type Resolved } from "./scalars.ts";

export interface DecodedYaml {
  readonly value: unknown;
  /** Repeated keys in go-yaml's words: `line 10: key "replicas" already set in map`. */
  readonly duplicateMessages: readonly string[];
}

/** At most this many repeated keys are reported for one document. */
const MAX_DUPLICATES = 100;
/** Characters that no YAML may have, except as escapes. */
// oxlint-disable-next-line no-control-regex -- to find them is what it is for
const CONTROL = /[\0-\x08\v\f\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]/;

/** Shares of aliases in the nodes of a document: nearly all of a small one, a tenth of a large one. */
const SMALL_DOCUMENT = 400_000;
const LARGE_DOCUMENT = 4_000_000;

function allowedShare(nodes: number): number {
  const size = Math.min(Math.max(nodes, SMALL_DOCUMENT), LARGE_DOCUMENT);
  return 0.99 - (0.89 * (size - SMALL_DOCUMENT)) / (LARGE_DOCUMENT - SMALL_DOCUMENT);
}

/** A key with what it is when it is no string: keys of different types are different, even where their texts are not. */
interface Member {
  readonly key: Resolved;
  readonly value: Built;
}
type Built = Resolved | Built[] | Map<string, Member>;

/** What the nodes of a document stand for. */
class Builder {
  readonly duplicateMessages: string[] = [];
  /** Aliases whose targets are being built. */
  readonly #open = new Set<AliasNode>();
  #nodes = 0;
  #aliased = 0;

  build(node: YamlNode): Built {
    this.#count();
    switch (node.kind) {
      case "scalar":
        return resolveScalar(node);
      case "sequence":
        return node.items.map((item) => this.build(item));
      case "mapping": {
        const members = new Map<string, Member>();
        this.#fill(members, node);
        return members;
      }
      case "alias":
        return this.#alias(node, () => this.build(node.target));
    }
  }

  #count(): void {
    this.#nodes++;
    if (this.#open.size > 0) this.#aliased++;
    if (this.#aliased > 100 && this.#nodes > 1000 && this.#aliased / this.#nodes > allowedShare(this.#nodes)) {
      throw new DecodeError("yaml: document contains excessive aliasing");
    }
  }
  #alias<T>(node: AliasNode, build: () => T): T {
    if (this.#open.has(node)) throw new DecodeError(`yaml: anchor '${node.name}' value contains itself`);
    this.#open.add(node);
    const built = build();
    this.#open.delete(node);
    return built;
  }
  #fill(members: Map<string, Member>, { entries }: MappingNode): void {
    for (const [keyNode, valueNode] of entries) {
      if (isMerge(keyNode)) {
        this.#merge(members, valueNode);
        continue;
      }
      const key = this.build(keyNode);
      if (isCollection(key)) throw new DecodeError(`yaml: invalid map key: ${goSyntax(key)}`);
      const value = this.build(valueNode);
      const name = `${typeof key.value === "string" ? "str" : key.type}:${key.value}`;
      if (members.has(name) && this.duplicateMessages.length < MAX_DUPLICATES) {
        this.duplicateMessages.push(`line ${valueNode.line + 1}: key ${goSyntax(key)} already set in map`);
      }
      members.set(name, { key, value });
    }
  }
  /** The members of a mapping, or of several from the last to the first, take the place of those that came before. */
  #merge(members: Map<string, Member>, node: YamlNode): void {
    for (const source of node.kind === "sequence" ? node.items.toReversed() : [node]) {
      this.#count();
      const target = source.kind === "alias" ? source.target : source;
      if (target.kind !== "mapping") {
        throw new DecodeError("yaml: map merge requires map or sequence of maps as the value");
      }
      if (source.kind === "alias") this.#alias(source, () => this.#fill(members, target));
      else this.#fill(members, target);
    }
  }
}

function isMerge(node: YamlNode): boolean {
  return node.kind === "scalar" && node.text === "<<" && (node.plain || node.tag === "tag:yaml.org,2002:merge");
}
function isCollection(built: Built): built is Exclude<Built, Resolved> {
  return Array.isArray(built) || built instanceof Map;
}

/** @throws DecodeError for what JSON cannot say */
function toJson(built: Built): unknown {
  if (Array.isArray(built)) return built.map(toJson);
  if (!(built instanceof Map)) {
    const { value } = built;
    if (typeof value !== "number" || Number.isFinite(value)) return value;
    throw new DecodeError(`json: unsupported value: ${Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf"}`);
  }
  const object: Record<string, unknown> = {};
  for (const { key, value } of built.values()) setMember(object, keyText(key, value), toJson(value));
  return object;
}

function keyText(key: Resolved, value: Built): string {
  if (typeof key.value === "string" || typeof key.value === "boolean") return String(key.value);
  if (key.value !== null && !isUnsigned(key)) return numericKey(key);
  const [type, shown] =
    key.value === null ? ["%!s(<nil>)", "<nil>"] : ["uint64", `0x${BigInt(key.value).toString(16)}`];
  throw new DecodeError(`unsupported map key of type: ${type}, key: ${shown}, value: ${goSyntax(value)}`);
}

/** As Go's %#v prints it. */
function goSyntax(built: Built): string {
  if (Array.isArray(built)) return `[]interface {}{${built.map(goMember).join(", ")}}`;
  if (built instanceof Map) {
    const members = [...built.values()].map(({ key, value }) => `${goMember(key)}:${goMember(value)}`);
    return `map[interface {}]interface {}{${members.sort().join(", ")}}`;
  }
  const { type, value } = built;
  if (value === null) return "<nil>";
  if (typeof value === "string") return JSON.stringify(value);
  return type === "float" ? goFloat(value as number) : String(value);
}
function goMember(built: Built): string {
  return !isCollection(built) && built.value === null ? "interface {}(nil)" : goSyntax(built);
}

/**
 * Decodes the first document of a YAML text; an empty text is null.
 * @throws DecodeError
 */
export function decodeYaml(text: string): DecodedYaml {
  return decodeAsJson(text) ?? decodeDocument(text);
}

/** Clients send JSON under YAML's name (kubectl's server-side apply does); reading it as such is ten times faster. */
function decodeAsJson(text: string): DecodedYaml | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const { value, duplicates } = decodeJson(text);
    // Repetitions are reported with their lines, which only the YAML reader knows.
    return duplicates.length > 0 ? undefined : { value, duplicateMessages: [] };
  } catch (error) {
    if (error instanceof DecodeError) return undefined; // a flow mapping of YAML's own
    throw error;
  }
}

function decodeDocument(text: string): DecodedYaml {
  if (CONTROL.test(text)) throw new DecodeError("yaml: control characters are not allowed");
  const root = parseYaml(text.startsWith("\ufeff") ? text.slice(1) : text);
  const builder = new Builder();
  const value = root === undefined ? null : toJson(builder.build(root));
  return { value, duplicateMessages: builder.duplicateMessages };
}
