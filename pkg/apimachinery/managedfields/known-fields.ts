/** Sets of fields in both of their forms, shared by all objects of one shape: there are few shapes and many objects. */
import type { ManagedFieldsEntry } from "../object.ts";
import type { Fields } from "./fields.ts";

export class KnownFields {
  readonly text: string;
  /** The last entry made with it: objects that are written in the same second by the same program share it. */
  entry: ManagedFieldsEntry | undefined;
  #tree: Fields | undefined;
  #bytes: Buffer | undefined;

  constructor(text: string, tree?: Fields) {
    this.text = text;
    if (tree !== undefined) this.#tree = frozen(tree);
  }
  /** Made when it is asked for: of most objects nobody ever does. */
  get tree(): Fields {
    return (this.#tree ??= frozen(JSON.parse(this.text) as Fields));
  }
  /** The text as it is stored: written once, and copied from then on. */
  get bytes(): Buffer {
    return (this.#bytes ??= Buffer.from(this.text));
  }
}

/** Many objects share a tree: nobody may take it for their own. */
function frozen(fields: Fields): Fields {
  if (Object.isFrozen(fields)) return fields;
  for (const element in fields) frozen(fields[element]!);
  return Object.freeze(fields);
}

/** Sets remembered; the oldest go first. */
const MAX_KNOWN = 512;
/** Longer ones are hardly ever met twice. */
const MAX_TEXT = 8 * 1024;
/** Memo: what a text says depends on nothing else. */
const known = new Map<string, KnownFields>();

/** Memo: the texts of shared trees. */
const textsOf = new WeakMap<Fields, KnownFields>();

/** Memo: sets of a single member by that member's set, when it is shared: each write of a status makes such a set. */
const singles = new WeakMap<Fields, { readonly element: string; readonly fields: KnownFields }>();

/** The set that `tree` is. */
export function knownTree(tree: Fields): KnownFields {
  const found = textsOf.get(tree);
  if (found !== undefined) return found;
  const elements = Object.keys(tree);
  if (elements.length !== 1) return spelledOut(tree);
  const element = elements[0]!;
  const branch = tree[element]!;
  const single = singles.get(branch);
  if (single?.element === element) return single.fields;
  const fields = spelledOut(tree);
  // What is not frozen is still being built.
  if (Object.isFrozen(branch)) singles.set(branch, { element, fields });
  return fields;
}

/** The set that `tree` is, found by its text. */
function spelledOut(tree: Fields): KnownFields {
  let text = "";
  for (const element in tree) {
    text += `${text === "" ? "" : ","}${JSON.stringify(element)}:${branchText(tree[element]!)}`;
  }
  const fields = knownFields(`{${text}}`, tree);
  textsOf.set(fields.tree, fields);
  return fields;
}

/** Longer descriptions are of rare writes. */
const MAX_DESCRIPTION = 2 * 1024;
/** What is done to sets of one shape again and again is of few kinds. */
const MAX_DERIVED = 8;
/** Memo: what shared sets become, by what is done to them. */
const derivedSets = new WeakMap<Fields, Map<string, Fields>>();

/** What `derive` makes of a set, which must depend on the set and on what `description` says alone. */
export function derivedSet(fields: Fields, description: string, derive: () => Fields): Fields {
  // What is not frozen is one object's own, and is not met again.
  if (!Object.isFrozen(fields) || description.length > MAX_DESCRIPTION) return derive();
  let derived = derivedSets.get(fields);
  if (derived === undefined) derivedSets.set(fields, (derived = new Map()));
  const found = derived.get(description);
  if (found !== undefined) return found;
  const made = derive();
  const shared = made === fields ? fields : knownTree(made).tree;
  if (derived.size >= MAX_DERIVED) derived.delete(derived.keys().next().value!);
  derived.set(description, shared);
  return shared;
}

/** Memo: the texts of branches that have come from a shared tree, as most do that a write leaves alone. */
const branchTexts = new WeakMap<Fields, string>();

function branchText(branch: Fields): string {
  let text = branchTexts.get(branch);
  if (text !== undefined) return text;
  text = JSON.stringify(branch);
  // What is not frozen is still being built.
  if (Object.isFrozen(branch)) branchTexts.set(branch, text);
  return text;
}

/** The set that `text` writes down. `tree` is the same set, if it is there already. */
export function knownFields(text: string, tree?: Fields): KnownFields {
  if (text.length > MAX_TEXT) return new KnownFields(text, tree);
  let found = known.get(text);
  if (found === undefined) {
    found = new KnownFields(text, tree);
    if (known.size >= MAX_KNOWN) known.delete(known.keys().next().value!);
    known.set(text, found);
  }
  return found;
}

/** The JSON of an entry: what stands before its set of fields, and behind it. */
export interface EntryText {
  readonly head: string;
  readonly fields: KnownFields;
  readonly tail: string;
}

/** Where an entry keeps its text; invisible to whoever walks over the entry. */
const TEXT = Symbol("text");

interface WithText extends ManagedFieldsEntry {
  readonly [TEXT]?: EntryText;
}

/** Gives an entry its `fieldsV1` and its own text. */
export function attachFields(entry: ManagedFieldsEntry, text: EntryText): void {
  Object.defineProperty(entry, TEXT, { value: text });
  Object.defineProperty(entry, "fieldsV1", { get: () => text.fields.tree, enumerable: true });
}

/** What JSON.stringify makes of an entry, if it is known. */
export function knownTextOf(entry: WithText): EntryText | undefined {
  return entry[TEXT];
}
