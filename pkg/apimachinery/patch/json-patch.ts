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
const INVALID_INDEX = "invalid index referenced";

type Container = Record<string, unknown> | unknown[];

function unescapeToken(token: string): string {
  return token.replaceAll("~1", "/").replaceAll("~0", "~");
}

function isContainer(value: unknown): value is Container {
  return typeof value === "object" && value !== null;
}

/** Index of an existing element; negative indices count from the end. */
function elementIndex(array: readonly unknown[], token: string): number {
  if (!/^[+-]?[0-9]+$/.test(token))
    throw new OperationError(`strconv.Atoi: parsing ${JSON.stringify(token)}: invalid syntax`);
  const index = Number(token);
  if (index >= array.length || index < -array.length)
    throw new OperationError(`Unable to access invalid index: ${index}: ${INVALID_INDEX}`);
  return index < 0 ? index + array.length : index;
}

function getChild(container: Container, token: string): unknown {
  if (Array.isArray(container)) return container[elementIndex(container, token)];
  return Object.hasOwn(container, token) ? container[token] : undefined;
}

function addChild(container: Container, token: string, value: unknown): void {
  if (!Array.isArray(container)) return setMember(container, token, value);
  if (token === "-") {
    container.push(value);
    return;
  }
  if (!/^[+-]?[0-9]+$/.test(token)) throw new OperationError(`value was not a proper array index: '${token}'`);
  const index = Number(token);
  const size = container.length + 1;
  if (index >= size || index < -size)
    throw new OperationError(`Unable to access invalid index: ${index}: ${INVALID_INDEX}`);
  container.splice(index < 0 ? index + size : index, 0, value);
}

function removeChild(container: Container, token: string): void {
  if (Array.isArray(container)) {
    container.splice(elementIndex(container, token), 1);
    return;
  }
  if (!Object.hasOwn(container, token))
    throw new OperationError(`Unable to remove nonexistent key: ${token}: ${MISSING}`);
  delete container[token];
}

function within<T>(context: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof OperationError) throw new OperationError(`${context}: ${error.message}`);
    throw error;
  }
}

class Document {
  /** The document sits under "" of this holder, so that the path "" needs no case of its own. */
  readonly #holder: Record<string, unknown>;
  #copiedBytes = 0;

  constructor(root: unknown) {
    this.#holder = { "": root };
  }
  get root(): unknown {
    return this.#holder[""];
  }

  /** The container a pointer leads into and its last token; undefined when the way there is missing. */
  #find(pointer: string): { container: Container; token: string } | undefined {
    const tokens = pointer.split("/").map(unescapeToken);
    if (tokens.length < 2) return pointer === "" ? { container: this.#holder, token: "" } : undefined;
    let container = this.root;
    for (const token of tokens.slice(1, -1)) {
      if (!isContainer(container)) return undefined;
      if (Array.isArray(container)) {
        const index = Number(token);
        if (!/^[+-]?[0-9]+$/.test(token) || index >= container.length || index < -container.length) return undefined;
        container = container.at(index);
      } else container = getChild(container, token);
    }
    return isContainer(container) ? { container, token: tokens.at(-1)! } : undefined;
  }

  add(path: string, value: unknown): void {
    const place = this.#find(path);
    if (place === undefined)
      throw new OperationError(`add operation does not apply: doc is missing path: "${path}": ${MISSING}`);
    within(`error in add for path: '${path}'`, () => addChild(place.container, place.token, deepCopy(value)));
  }

  remove(path: string): void {
    const place = this.#find(path);
    if (place === undefined)
      throw new OperationError(`remove operation does not apply: doc is missing path: "${path}": ${MISSING}`);
    within(`error in remove for path: '${path}'`, () => removeChild(place.container, place.token));
  }

  replace(path: string, value: unknown): void {
    const place = this.#find(path);
    if (place === undefined)
      throw new OperationError(`replace operation does not apply: doc is missing path: ${path}: ${MISSING}`);
    const { container, token } = place;
    if (Array.isArray(container)) {
      const index = /^[+-]?[0-9]+$/.test(token) ? Number(token) : Number.NaN;
      if (!(index < container.length && index >= -container.length)) {
        throw new OperationError(`replace operation does not apply: doc is missing key: ${path}: ${MISSING}`);
      }
      container[index < 0 ? index + container.length : index] = deepCopy(value);
    } else if (Object.hasOwn(container, token)) setMember(container, token, deepCopy(value));
    else throw new OperationError(`replace operation does not apply: doc is missing key: ${path}: ${MISSING}`);
  }

  move(from: string, path: string): void {
    const source = this.#find(from);
    if (source === undefined)
      throw new OperationError(`move operation does not apply: doc is missing from path: ${from}: ${MISSING}`);
    const value = within(`error in move for path: '${from}'`, () => {
      const moved = getChild(source.container, source.token);
      removeChild(source.container, source.token);
      return moved;
    });
    const target = this.#find(path);
    if (target === undefined)
      throw new OperationError(`move operation does not apply: doc is missing destination path: ${path}: ${MISSING}`);
    within(`error in move for path: '${path}'`, () => addChild(target.container, target.token, value));
  }

  copy(from: string, path: string): void {
    const source = this.#find(from);
    if (source === undefined)
      throw new OperationError(`copy operation does not apply: doc is missing from path: ${from}: ${MISSING}`);
    const value = within(`error in copy for from: '${from}'`, () => getChild(source.container, source.token));
    if (value === undefined) throw new OperationError(`error in copy for from: '${from}': ${MISSING}`);
    const target = this.#find(path);
    if (target === undefined)
      throw new OperationError(`copy operation does not apply: doc is missing destination path: ${path}: ${MISSING}`);
    this.#copiedBytes += JSON.stringify(value).length;
    if (this.#copiedBytes > MAX_COPIED_BYTES) {
      throw new OperationError(
        `Unable to complete the copy, the accumulated size increase of copy is ${this.#copiedBytes}, exceeding the limit ${MAX_COPIED_BYTES}`,
      );
    }
    within("error while adding value during copy", () => addChild(target.container, target.token, deepCopy(value)));
  }

  test(path: string, expected: unknown): void {
    const place = this.#find(path);
    if (place === undefined)
      throw new OperationError(`test operation does not apply: is missing path: ${path}: ${MISSING}`);
    const actual = within(`error in test for path: '${path}'`, () => getChild(place.container, place.token));
    if (!deepEqual(actual ?? null, expected ?? null)) throw new TestFailedError(path);
  }
}

/** Members an operation cannot do without, and what upstream says where they are missing. */
const NEEDED: Readonly<Record<string, readonly ("path" | "from" | "value")[]>> = {
  add: ["path", "value"],
  remove: ["path"],
  replace: ["path", "value"],
  move: ["path", "from"],
  copy: ["path", "from"],
  test: ["path"],
};
const LACK = {
  path: "operation missing path field",
  from: "operation, missing from field",
  value: "operation, missing value field",
};

function undecodable(value: unknown, into: string): PatchError {
  return new PatchError(`error decoding patch: json: cannot unmarshal ${jsonKind(value)} into Go ${into}`, 400);
}

/** The operations, each with all it needs. @throws PatchError 400 */
function decodeOperations(patch: unknown): readonly JsonPatchOperation[] {
  if (patch === null) return [];
  if (!Array.isArray(patch)) throw undecodable(patch, "value of type []handlers.jsonPatchOp");
  for (const operation of patch as unknown[]) {
    if (operation !== null && !isRecord(operation)) throw undecodable(operation, "value of type handlers.jsonPatchOp");
    for (const name of ["op", "path", "from"]) {
      const value = operation?.[name] ?? "";
      if (typeof value !== "string") throw undecodable(value, `struct field jsonPatchOp.${name} of type string`);
    }
  }
  for (const operation of patch as (Record<string, unknown> | null)[]) {
    const needed = Object.hasOwn(NEEDED, String(operation?.["op"])) ? NEEDED[String(operation?.["op"])]! : undefined;
    const why =
      needed === undefined
        ? "unsupported operation"
        : needed
            .filter((name) => operation?.[name] === undefined)
            .map((name) => `failed to decode '${name}': ${LACK[name]}: ${MISSING}`)[0];
    if (why !== undefined) throw new PatchError(`invalid operation ${JSON.stringify(operation)}: ${why}`, 400);
  }
  return patch as JsonPatchOperation[];
}

/**
 * The document after all operations; neither argument changes.
 * @throws PatchError at the first operation that does not apply.
 */
export function applyJsonPatch(original: unknown, patch: readonly JsonPatchOperation[] | unknown): unknown {
  const operations = decodeOperations(patch);
  const document = new Document(deepCopy(original));
  for (const { op, path, from = "", value } of operations) {
    switch (op) {
      case "add":
        document.add(path, value);
        break;
      case "remove":
        document.remove(path);
        break;
      case "replace":
        document.replace(path, value);
        break;
      case "move":
        document.move(from, path);
        break;
      case "copy":
        document.copy(from, path);
        break;
      case "test":
        document.test(path, value);
    }
  }
  return document.root;
}
