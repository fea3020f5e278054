/** JSON Patch (RFC 6902) with the behaviour and messages of evanphx/json-patch v4, which the API server exposes. */
import { deepCopy, deepEqual, isRecord, setMember } from "../deep.ts";
import { jsonKind } from "../json.ts";
import { PatchError } from "./patch-error.ts";

/** Operations that do not apply are answered with 422. */
class OperationError extends PatchError {
  constructor(message: string) {
    super(message, 422);
  }
}

/** A test operation that found something else. */
export class TestFailedError extends PatchError {
  constructor(path: string) {
    super(`testing value ${path} failed: test failed`, 422);
  }
}

export interface JsonPatchOperation {
  readonly op: "add" | "remove" | "replace" | "move" | "copy" | "test";
  readonly path: string;
  readonly from?: string;
  readonly value?: unknown;
}

/** Bytes that the copy operations of one patch may add. */
const MAX_COPIED_BYTES = 3 * 1024 * 1024;

const MISSING = "missing value";

type Container = Record<string, unknown> | unknown[];
interface Place {
  readonly container: Container;
  readonly key: string;
}

function unescapeToken(token: string): string {
  return token.replaceAll("~1", "/").replaceAll("~0", "~");
}

const invalidIndex = (index: number): OperationError =>
  new OperationError(`Unable to access invalid index: ${index}: invalid index referenced`);

/** A token as Go's strconv.Atoi reads it. */
function toInteger(token: string): number {
  const failed = (why: string): OperationError =>
    new OperationError(`strconv.Atoi: parsing ${JSON.stringify(token)}: ${why}`);
  if (!/^[+-]?[0-9]+$/.test(token)) throw failed("invalid syntax");
  if (BigInt.asIntN(64, BigInt(token.replace("+", ""))) !== BigInt(token.replace("+", "")))
    throw failed("value out of range");
  return Number(token);
}

/** A position in a list of `length` elements; negative indices count from the end. */
function position(index: number, length: number): number {
  if (index >= length || index < -length) throw invalidIndex(index);
  return index < 0 ? index + length : index;
}

/** What is there; undefined for a member that is not. Lists have no such thing. */
function getChild(container: Container, key: string): unknown {
  if (Array.isArray(container)) return container[position(toInteger(key), container.length)];
  return Object.hasOwn(container, key) ? container[key] : undefined;
}

function addChild(container: Container, key: string, value: unknown): void {
  if (!Array.isArray(container)) return setMember(container, key, value);
  if (key === "-") {
    container.push(value);
    return;
  }
  const index = within(`value was not a proper array index: '${key}'`, () => toInteger(key));
  container.splice(position(index, container.length + 1), 0, value);
}

function removeChild(container: Container, key: string): void {
  if (Array.isArray(container)) {
    container.splice(position(toInteger(key), container.length), 1);
    return;
  }
  if (!Object.hasOwn(container, key)) throw new OperationError(`Unable to remove nonexistent key: ${key}: ${MISSING}`);
  delete container[key];
}

function within<T>(context: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof OperationError) throw new OperationError(`${context}: ${error.message}`);
    throw error;
  }
}

const isContainer = (value: unknown): value is Container => typeof value === "object" && value !== null;

class Document {
  root: unknown;
  #copiedBytes = 0;

  constructor(root: unknown) {
    this.root = root;
  }

  /** Where a pointer leads: into which container, and to what there. @throws OperationError when the way is missing */
  #find(pointer: string, failure: string): Place {
    const tokens = pointer.split("/").map(unescapeToken);
    let container = this.root;
    for (const token of tokens.slice(1, -1)) container = isContainer(container) ? peek(container, token) : undefined;
    if (tokens.length < 2 || !isContainer(container)) throw new OperationError(`${failure}: ${MISSING}`);
    return { container, key: tokens.at(-1)! };
  }

  add(path: string, value: unknown): void {
    const { container, key } = this.#find(path, `add operation does not apply: doc is missing path: "${path}"`);
    within(`error in add for path: '${path}'`, () => addChild(container, key, deepCopy(value)));
  }

  remove(path: string): void {
    const { container, key } = this.#find(path, `remove operation does not apply: doc is missing path: "${path}"`);
    within(`error in remove for path: '${path}'`, () => removeChild(container, key));
  }

  /** A member that is not there yet is added: the library has always been that lenient. */
  replace(path: string, value: unknown): void {
    if (path === "") {
      if (!isContainer(value)) throw new OperationError("replace operation value must be object or array: %!w(<nil>)");
      this.root = deepCopy(value);
      return;
    }
    const { container, key } = this.#find(path, `replace operation does not apply: doc is missing path: ${path}`);
    if (!Array.isArray(container)) return setMember(container, key, deepCopy(value));
    let index: number;
    try {
      index = position(toInteger(key), container.length);
    } catch {
      throw new OperationError(`replace operation does not apply: doc is missing key: ${path}: ${MISSING}`);
    }
    container[index] = deepCopy(value);
  }

  move(from: string, target: () => string): void {
    const source = this.#find(from, `move operation does not apply: doc is missing from path: ${from}`);
    const value = within(`error in move for path: '${source.key}'`, () => {
      const moved = getChild(source.container, source.key);
      removeChild(source.container, source.key);
      return moved;
    });
    const path = target();
    const { container, key } = this.#find(
      path,
      `move operation does not apply: doc is missing destination path: ${path}`,
    );
    within(`error in move for path: '${path}'`, () => addChild(container, key, value));
  }

  /** What is not there is copied as null. */
  copy(from: string, target: () => string): void {
    const source = this.#find(from, `copy operation does not apply: doc is missing from path: ${from}`);
    const value = within(`error in copy for from: '${from}'`, () => getChild(source.container, source.key)) ?? null;
    const path = target();
    const { container, key } = this.#find(
      path,
      `copy operation does not apply: doc is missing destination path: ${path}`,
    );
    this.#copiedBytes += value === null ? 0 : JSON.stringify(value).length;
    if (this.#copiedBytes > MAX_COPIED_BYTES) {
      throw new OperationError(
        `Unable to complete the copy, the accumulated size increase of copy is ${this.#copiedBytes}, exceeding the limit ${MAX_COPIED_BYTES}`,
      );
    }
    within("error while adding value during copy", () => addChild(container, key, deepCopy(value)));
  }

  test(path: string, expected: unknown): void {
    let actual = this.root;
    if (path !== "") {
      const { container, key } = this.#find(path, `test operation does not apply: is missing path: ${path}`);
      actual = within(`error in test for path: '${path}'`, () => getChild(container, key));
    }
    if (!deepEqual(actual ?? null, expected ?? null)) throw new TestFailedError(path);
  }
}

/** A step on the way to something; undefined where it leads nowhere. */
function peek(container: Container, token: string): unknown {
  try {
    return getChild(container, token);
  } catch (error) {
    if (error instanceof OperationError) return undefined;
    throw error;
  }
}

function undecodable(value: unknown, into: string): PatchError {
  return new PatchError(`error decoding patch: json: cannot unmarshal ${jsonKind(value)} into Go ${into}`, 400);
}

/** The operations, their members of the right types where they are there. @throws PatchError 400 */
function decodeOperations(patch: unknown): readonly (Partial<JsonPatchOperation> | null)[] {
  if (patch === null) return [];
  if (!Array.isArray(patch)) throw undecodable(patch, "value of type []handlers.jsonPatchOp");
  for (const operation of patch as unknown[]) {
    if (operation !== null && !isRecord(operation)) throw undecodable(operation, "value of type handlers.jsonPatchOp");
    for (const name of ["op", "path", "from"]) {
      const value = operation?.[name] ?? "";
      if (typeof value !== "string") throw undecodable(value, `struct field jsonPatchOp.${name} of type string`);
    }
  }
  return patch as Partial<JsonPatchOperation>[];
}

const LACKS_PATH = `operation missing path field: ${MISSING}`;
const LACKS_FROM = `operation, missing from field: ${MISSING}`;

/**
 * The document after all operations; neither argument changes.
 * @throws PatchError at the first operation that does not apply.
 */
export function applyJsonPatch(original: unknown, patch: readonly JsonPatchOperation[] | unknown): unknown {
  const operations = decodeOperations(patch);
  const document = new Document(deepCopy(original));
  for (const operation of operations) applyOperation(document, operation ?? {});
  return document.root;
}

function applyOperation(document: Document, { op, path, from, value = null }: Partial<JsonPatchOperation>): void {
  const needed = (given: string | undefined, what: string, why: string): string => {
    if (typeof given === "string") return given;
    throw new OperationError(`${op} operation failed to decode ${what}: ${why}`);
  };
  switch (op) {
    case "add":
      return document.add(needed(path, "path", MISSING), value);
    case "remove":
      return document.remove(needed(path, "path", MISSING));
    case "replace":
      return document.replace(needed(path, "path", LACKS_PATH), value);
    case "move":
      return document.move(needed(from, "from", LACKS_FROM), () => needed(path, "path", LACKS_PATH));
    case "copy":
      return document.copy(needed(from, "from", LACKS_FROM), () => needed(path, "path", MISSING));
    case "test":
      return document.test(needed(path, "path", LACKS_PATH), value);
    default:
      throw new OperationError(`Unexpected kind: ${(op as string | null | undefined) ?? "unknown"}`);
  }
}
