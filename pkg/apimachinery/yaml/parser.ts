import { DecodeError } from "../json.ts";
import { Scanner, type Token, type TokenType } from "./scanner.ts";

interface Place {
  /** Where it begins, counted from 0. */
  readonly line: number;
}
export interface ScalarNode extends Place {
  readonly kind: "scalar";
  readonly tag: string;
  readonly text: string;
  /** Its type follows from what it looks like. */
  readonly plain: boolean;
}
export interface SequenceNode extends Place {
  readonly kind: "sequence";
  readonly items: YamlNode[];
}
export interface MappingNode extends Place {
  readonly kind: "mapping";
  readonly entries: (readonly [key: YamlNode, value: YamlNode])[];
}
export interface AliasNode extends Place {
  readonly kind: "alias";
  readonly name: string;
  readonly target: YamlNode;
}
export type YamlNode = ScalarNode | SequenceNode | MappingNode | AliasNode;

/** Deeper documents are refused, as in JSON. */
const MAX_DEPTH = 1000;
const DEFAULT_HANDLES: readonly (readonly [handle: string, prefix: string])[] = [
  ["!", "!"],
  ["!!", "tag:yaml.org,2002:"],
];

/** Puts tokens together to the nodes of one document. Its errors are libyaml's. */
class Parser {
  readonly #scanner: Scanner;
  readonly #anchors = new Map<string, YamlNode>();
  #handles = new Map<string, string>();
  #depth = 0;

  constructor(text: string) {
    this.#scanner = new Scanner(text);
  }
  document(): YamlNode | undefined {
    const { type } = this.#scanner.peek();
    if (type === "stream end") return undefined;
    let root: YamlNode;
    if (type === "directive" || type === "document start") {
      this.#directives();
      if (!this.#is("document start")) this.#fail("did not find expected <document start>");
      this.#scanner.take();
      const empty = this.#is("directive", "document start", "document end", "stream end");
      root = empty ? this.#empty() : this.#node(true, false);
    } else {
      this.#handles = new Map(DEFAULT_HANDLES);
      root = this.#node(true, false);
    }
    this.#scanner.peek(); // what ends the document has to be a token
    return root;
  }

  #is(...types: TokenType[]): boolean {
    return types.includes(this.#scanner.peek().type);
  }
  #takeIf(type: TokenType): Token | undefined {
    return this.#scanner.peek().type === type ? this.#scanner.take() : undefined;
  }
  /** Lines are one less than in errors of the scanner, and none is told for the first. */
  #fail(problem: string, { line } = this.#scanner.peek()): never {
    throw new DecodeError(`yaml: ${line === 0 ? "" : `line ${line}: `}${problem}`);
  }
  #empty(line = this.#scanner.peek().line): ScalarNode {
    return { kind: "scalar", tag: "", text: "", plain: true, line };
  }
  #directives(): void {
    let hasVersion = false;
    for (let token = this.#takeIf("directive"); token !== undefined; token = this.#takeIf("directive")) {
      const [name, value, prefix] = token.text.split(" ");
      if (name === "YAML") {
        if (hasVersion) this.#fail("found duplicate %YAML directive", token);
        if (value !== "1.1") this.#fail("found incompatible YAML document", token);
        hasVersion = true;
      } else {
        if (this.#handles.has(value!)) this.#fail("found duplicate %TAG directive", token);
        this.#handles.set(value!, prefix!);
      }
    }
    this.#handles = new Map([...DEFAULT_HANDLES, ...this.#handles]);
  }

  /** `block`: block collections may follow; `flat`: so may a sequence that is indented no further than its mapping. */
  #node(block: boolean, flat: boolean): YamlNode {
    const alias = this.#takeIf("alias");
    if (alias !== undefined) {
      const target = this.#anchors.get(alias.text);
      if (target === undefined) throw new DecodeError(`yaml: unknown anchor '${alias.text}' referenced`);
      return { kind: "alias", name: alias.text, target, line: alias.line };
    }
    let anchor = this.#takeIf("anchor");
    const tag = this.#takeIf("tag");
    if (tag !== undefined) anchor ??= this.#takeIf("anchor");
    const token = this.#scanner.peek();
    const line = Math.min(anchor?.line ?? token.line, tag?.line ?? token.line);
    const uri = tag === undefined ? "" : this.#tagUri(tag);
    const anchored = <T extends YamlNode>(node: T): T => {
      if (anchor !== undefined) this.#anchors.set(anchor.text, node);
      return node;
    };
    if (token.type === "scalar") {
      this.#scanner.take();
      const plain = uri === "!" || (uri === "" && token.plain === true);
      return anchored({ kind: "scalar", tag: uri, text: token.text, plain, line });
    }
    const read = this.#collection(token.type, block, flat);
    if (read === undefined) {
      if (anchor === undefined && tag === undefined) this.#fail("did not find expected node content", token);
      return anchored({ kind: "scalar", tag: uri, text: "", plain: uri === "", line });
    }
    if (++this.#depth > MAX_DEPTH) throw new DecodeError(`yaml: exceeded max depth of ${MAX_DEPTH}`);
    // An alias inside of a collection may name it.
    const node = read.mapping
      ? anchored<MappingNode>({ kind: "mapping", entries: [], line })
      : anchored<SequenceNode>({ kind: "sequence", items: [], line });
    read.into(node as MappingNode & SequenceNode);
    this.#depth--;
    return node;
  }
  #collection(
    type: TokenType,
    block: boolean,
    flat: boolean,
  ): { mapping: boolean; into: (node: MappingNode & SequenceNode) => void } | undefined {
    if (type === "-" && flat) return { mapping: false, into: ({ items }) => this.#flatSequence(items) };
    if (type === "[") return { mapping: false, into: ({ items }) => this.#flowSequence(items) };
    if (type === "{") return { mapping: true, into: ({ entries }) => this.#flowMapping(entries) };
    if (!block) return undefined;
    if (type === "block sequence") return { mapping: false, into: ({ items }) => this.#blockSequence(items) };
    if (type === "block mapping") return { mapping: true, into: ({ entries }) => this.#blockMapping(entries) };
    return undefined;
  }
  #tagUri(tag: Token): string {
    if (tag.handle === "") return tag.text;
    const prefix = this.#handles.get(tag.handle!);
    if (prefix === undefined) this.#fail("found undefined tag handle", tag);
    return prefix + tag.text;
  }

  #blockSequence(items: YamlNode[]): void {
    this.#scanner.take();
    for (let dash = this.#takeIf("-"); dash !== undefined; dash = this.#takeIf("-")) {
      items.push(this.#is("-", "block end") ? this.#empty(dash.line) : this.#node(true, false));
    }
    if (this.#takeIf("block end") === undefined) this.#fail("did not find expected '-' indicator");
  }
  #flatSequence(items: YamlNode[]): void {
    for (let dash = this.#takeIf("-"); dash !== undefined; dash = this.#takeIf("-")) {
      items.push(this.#is("-", "?", ":", "block end") ? this.#empty(dash.line) : this.#node(true, false));
    }
  }
  #blockMapping(entries: MappingNode["entries"]): void {
    this.#scanner.take();
    const part = (mark: Token): YamlNode =>
      this.#is("?", ":", "block end") ? this.#empty(mark.line) : this.#node(true, true);
    for (let mark = this.#takeIf("?"); mark !== undefined; mark = this.#takeIf("?")) {
      const key = part(mark);
      const colon = this.#takeIf(":");
      entries.push([key, colon === undefined ? this.#empty() : part(colon)]);
    }
    if (this.#takeIf("block end") === undefined) this.#fail("did not find expected key");
  }

  /** Reads what stands between commas up to the bracket. */
  #flow(end: "]" | "}", read: () => void): void {
    this.#scanner.take();
    for (let first = true; !this.#is(end); first = false) {
      if (!first && this.#takeIf(",") === undefined) this.#fail(`did not find expected ',' or '${end}'`);
      if (this.#is(end)) break;
      read();
    }
    this.#scanner.take();
  }
  #flowSequence(items: YamlNode[]): void {
    this.#flow("]", () => {
      const mark = this.#takeIf("?");
      if (mark === undefined) items.push(this.#node(false, false));
      else items.push({ kind: "mapping", entries: [this.#pair("]", mark)], line: mark.line });
    });
  }
  #flowMapping(entries: MappingNode["entries"]): void {
    this.#flow("}", () => {
      const mark = this.#takeIf("?");
      entries.push(mark === undefined ? [this.#node(false, false), this.#empty()] : this.#pair("}", mark));
    });
  }
  #pair(end: "]" | "}", mark: Token): readonly [key: YamlNode, value: YamlNode] {
    const key = this.#is(":", ",", end) ? this.#empty(mark.line) : this.#node(false, false);
    const colon = this.#takeIf(":");
    const empty = colon === undefined || this.#is(",", end);
    return [key, empty ? this.#empty() : this.#node(false, false)];
  }
}

/** The first document of a YAML stream; undefined when there is none. @throws DecodeError */
export function parseYaml(text: string): YamlNode | undefined {
  return new Parser(text).document();
}
