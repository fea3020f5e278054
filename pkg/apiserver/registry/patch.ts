import {
  apiVersionOf,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  badRequest,
  DecodeError,
  decodeJson,
  decodeYaml,
  fieldInvalid,
  invalid,
  isRecord,
  isStatusError,
  type JsonPatchOperation,
  type KubeObject,
  PatchError,
  StatusError,
  unsupportedMediaType,
  jsonKind,
} from "#pkg/apimachinery/index.ts";
import { parseMediaType } from "../http/negotiate.ts";
import { type ExpectedKind, noMetadata, validateFields, whyOfAnotherKind } from "./body.ts";
import type { Call } from "./call.ts";
import { type Written, sendWritten } from "./create.ts";
import { parseWriteOptions, type WriteOptions } from "./options.ts";
import { applyThrough } from "./apply.ts";
import { findEntry } from "./get.ts";
import { goText } from "./go-text.ts";
import { type Repetitions, repeatedInPatch, repeatedInYaml, wrongInOperations } from "./strict-errors.ts";
import {
  changedPart,
  NOTHING_UNCHANGED,
  type Unchanged,
  unmentionedByJsonPatch,
  unmentionedByMerge,
  withUnchanged,
} from "./unchanged.ts";
import { checkNames, guaranteedUpdate, mainView, notPresent, sharesUnchanged, type WriteView } from "./update.ts";

/** Races a patch without resourceVersion may lose before the client is told (upstream's limit). */
const PATCH_ATTEMPTS = 6;
/** Operations of one JSON patch. */
const MAX_OPERATIONS = 10_000;

const PATCH_TYPES: ReadonlyMap<string, PatchType> = new Map([
  ["application/json-patch+json", "json"],
  ["application/merge-patch+json", "merge"],
  ["application/strategic-merge-patch+json", "strategic"],
  ["application/apply-patch+yaml", "apply"],
]);
export type PatchType = "json" | "merge" | "strategic" | "apply";

/** A patch, read but not applied yet. */
export interface Patch {
  readonly type: PatchType;
  readonly value: unknown;
  readonly repeated: Repetitions;
}

/** PATCH of an object. */
export async function patchObject(call: Call): Promise<void> {
  await patchThrough(call, mainView(call));
}

/** PATCH through a view (the object, its status, …). */
export async function patchThrough(call: Call, view: WriteView): Promise<void> {
  const { definition } = call.installed;
  let patch: Patch;
  try {
    patch = await readPatch(call, definition.custom);
  } catch (error) {
    // What there is not cannot be patched, whatever the patch is.
    if (isStatusError(error) && error.code === 400) await findEntry(call);
    throw error;
  }
  const options = parseWriteOptions("PatchOptions", call.target.query, patch.type);
  if (patch.type === "apply") {
    await applyThrough(call, view, patch, options);
    return;
  }
  const sharing = sharesUnchanged(call, view);
  const written = await patchWith(call, view, options, (old) =>
    patchOnto(call, definition, patch, options, old, sharing),
  );
  const sent = sendWritten(call, 200, written);
  if (sent !== undefined) await sent;
}

function patchWith(
  call: Call,
  view: WriteView,
  options: WriteOptions,
  change: (old: Readonly<KubeObject>) => KubeObject,
): Promise<Written> {
  return guaranteedUpdate(call, { view, options, change, attempts: PATCH_ATTEMPTS });
}

/** @throws StatusError 400, 415 */
export async function readPatch(call: Call, custom: boolean): Promise<Patch> {
  const { type: media } = parseMediaType(call.request.headers["content-type"] ?? "");
  const type = PATCH_TYPES.get(media);
  // Of built-in kinds it is the router that refuses, in its own words.
  if (type === undefined && !custom) throw unsupportedMediaType("415: Unsupported Media Type", {});
  if (type === undefined || (custom && type === "strategic")) {
    const known = [...PATCH_TYPES.keys()].filter((name) => !custom || PATCH_TYPES.get(name) !== "strategic");
    throw unsupportedMediaType(
      `the body of the request was in an unknown format - accepted media types include: ${known.join(", ")}`,
    );
  }
  const bytes = await call.request.body();
  try {
    const { value, repeated } = type === "apply" ? fromYaml(bytes) : fromJson(bytes, type);
    if (type === "json") {
      if (Array.isArray(value) && value.length > MAX_OPERATIONS) {
        throw new StatusError({
          status: "Failure",
          reason: "RequestEntityTooLarge",
          code: 413,
          message: `Request entity too large: The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${value.length}`,
        });
      }
    } else if (!isRecord(value)) {
      if (type !== "apply" && value === null) throw badRequest("Invalid JSON Patch");
      if (type !== "apply") throw badRequest(`error decoding patch: ${noObject(value)}`);
      if (value !== null)
        throw badRequest(`error decoding YAML: error unmarshaling JSON: while decoding JSON: ${noObject(value)}`);
    }
    return { type, value: value ?? (type === "apply" ? {} : value), repeated };
  } catch (error) {
    if (error instanceof DecodeError) {
      const what = type === "apply" ? "YAML: error converting YAML to JSON" : "patch";
      throw badRequest(`error decoding ${what}: ${error.message}`);
    }
    throw error;
  }
}

function noObject(value: unknown): string {
  return `json: cannot unmarshal ${jsonKind(value)} into Go value of type map[string]interface {}`;
}

function fromJson(bytes: Buffer, type: PatchType): { value: unknown; repeated: Repetitions } {
  const { value, duplicates } = decodeJson(bytes);
  const repeated = type === "json" ? wrongInOperations(bytes, value, duplicates) : repeatedInPatch(duplicates);
  return { value, repeated };
}
function fromYaml(bytes: Buffer): { value: unknown; repeated: Repetitions } {
  const { value, duplicateMessages } = decodeYaml(bytes.toString("utf8"));
  return { value, repeated: repeatedInYaml(duplicateMessages) };
}

/**
 * The patched object, checked like a body. With `sharing`, what the patch does not mention is the old object's own.
 * @throws StatusError 400, 409, 422
 */
export function patchOnto(
  call: Call,
  expected: ExpectedKind & { applyDefaults?(object: KubeObject): void },
  patch: Patch,
  options: WriteOptions,
  old: Readonly<KubeObject>,
  sharing = false,
): KubeObject {
  const unchanged = sharing ? unmentioned(patch, old) : NOTHING_UNCHANGED;
  const patched = applyPatch(expected, patch, changedPart(old, unchanged));
  if (!isRecord(patched)) throw badRequest("the patch does not leave an object");
  const apiVersion = apiVersionOf(expected);
  if (expected.custom) assertStillOfKind(patched, expected);
  const { metadata } = patched;
  const { apiVersion: _a, kind: _k, metadata: _m, ...rest } = patched;
  const object: KubeObject = { apiVersion, kind: expected.kind, metadata: isRecord(metadata) ? metadata : {}, ...rest };
  const refuse = (why: string): StatusError => {
    const result = patch.type === "strategic" ? goText(patch.value) : JSON.stringify(applyPatch(expected, patch, old));
    return invalid({ group: "", kind: "" }, "", [fieldInvalid("patch", result, why)]);
  };
  const foreign = patch.type === "strategic" ? undefined : whyForeign(patched, expected);
  if (foreign !== undefined) throw refuse(foreign);
  if (metadata !== undefined && metadata !== null && !isRecord(metadata)) throw refuse(noMetadata(metadata, expected));
  validateFields(call, expected, object, patch.repeated, options.fieldValidation, refuse);
  checkNames(call, object);
  expected.applyDefaults?.(object);
  assertRevision(call, object, old);
  return withUnchanged(object, old, unchanged);
}

/**
 * What a JSON or merge patch made of a built-in object is read like a body: why it cannot be. A strategic merge patch
 * changes an object whose type is known, whatever it says of the kind.
 */
function whyForeign(patched: Record<string, unknown>, expected: ExpectedKind): string | undefined {
  const version = patched["apiVersion"] || apiVersionOf(expected);
  const kind = patched["kind"] || expected.kind;
  const same = version === apiVersionOf(expected) && kind === expected.kind;
  return same ? undefined : whyOfAnotherKind(String(version), String(kind), expected);
}

/** A custom resource says itself what it is, and a patch may make it say something else. */
function assertStillOfKind(patched: Record<string, unknown>, expected: ExpectedKind): void {
  const { apiVersion = "", kind = "" } = patched;
  const { name = "" } = isRecord(patched["metadata"]) ? patched["metadata"] : {};
  const { group } = expected;
  if (kind === "") {
    const text = JSON.stringify(patched);
    const error = fieldInvalid("patch", text, `Object 'Kind' is missing in '${text}'`);
    throw invalid({ group: "", kind: "" }, "", [error]);
  }
  const wanted = apiVersionOf(expected);
  const error =
    apiVersion !== wanted
      ? fieldInvalid("apiVersion", apiVersion, `must be ${wanted}`)
      : fieldInvalid("kind", kind, `must be ${expected.kind}`);
  const given = { group: apiVersion === wanted ? group : "", kind: String(kind) };
  if (apiVersion !== wanted || kind !== expected.kind) throw invalid(given, String(name), [error]);
}

function unmentioned({ type, value }: Patch, old: Readonly<KubeObject>): Unchanged {
  return type === "json"
    ? unmentionedByJsonPatch(value as Partial<JsonPatchOperation>[], old)
    : unmentionedByMerge(value as Record<string, unknown>, old);
}

/** A patch that names a version means it: no second attempt may succeed on another one. */
function assertRevision(call: Call, { metadata }: KubeObject, old: Readonly<KubeObject>): void {
  const { resourceVersion } = metadata;
  if (resourceVersion === undefined || resourceVersion === "" || resourceVersion === "0") return;
  if (resourceVersion !== old.metadata.resourceVersion) throw notPresent(call, resourceVersion);
}

function applyPatch(expected: ExpectedKind, { type, value }: Patch, old: Readonly<KubeObject>): unknown {
  try {
    if (type === "json") return applyJsonPatch(old, value);
    if (type === "merge") return applyMergePatch(old, value);
    return applyStrategicMergePatch(expected.schema, old, value as Record<string, unknown>);
  } catch (error) {
    if (error instanceof PatchError) throw patchFailure(error);
    throw error;
  }
}

/** A list patch without its merge key is a plain failure upstream: a Status without a reason. */
function patchFailure(error: PatchError): StatusError {
  if (error.code === 400) return badRequest(error.message);
  const reason = error.code === 422 ? { reason: "Invalid", details: {} } : {};
  // Upstream keeps to itself which operation it was.
  const message = error.code === 422 ? "the server rejected our request due to an error in our request" : error.message;
  return new StatusError({ status: "Failure", code: error.code, message, ...reason }, { cause: error });
}
