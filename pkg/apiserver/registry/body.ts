import {
  cannotBeHandled,
  checkFields,
  doubtfulMembers,
  embeddedObjects,
  type FieldCheck,
  prune,
  schemaOf,
} from "#pkg/api/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import {
  apiVersionOf,
  badRequest,
  DecodeError,
  decodeJson,
  decodeYaml,
  fieldInvalid,
  invalid,
  isRecord,
  type KubeObject,
  type StatusError,
  unsupportedMediaType,
  jsonKind,
} from "#pkg/apimachinery/index.ts";
import {
  decodeEnvelope,
  hasProtobufMagic,
  ProtobufError,
  protobufMessageFor,
} from "#pkg/apimachinery/protobuf/index.ts";
import { noObject, notConvertible, notRegistered, NO_TYPE, untyped } from "../http/document-type.ts";
import { bodyEncoding, CONTENT_TYPES } from "../http/negotiate.ts";
import type { Call } from "./call.ts";
import type { KnownSpecs } from "./known-specs.ts";
import { wrongNumber } from "./number-literals.ts";
import type { FieldValidation } from "./options.ts";
import { NO_REPETITIONS, type Repetitions, repeatedInJson, repeatedInYaml } from "./strict-errors.ts";

const METADATA = schemaOf("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");

/** The kind a body must be of. */
export interface ExpectedKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly schema: FieldSchema;
  /** Custom resources: no protobuf, errors in other words. */
  readonly custom: boolean;
}

/**
 * Reads the request's body as an object of the kind: decoded, checked against the schema as `fieldValidation` asks,
 * without unknown fields. The object is the request's own copy, but for a spec that is shared (`KnownSpecs`).
 * @throws StatusError 400, 413, 415
 */
export async function readObject(call: Call, expected: ExpectedKind, validation: FieldValidation): Promise<KubeObject> {
  const bytes = await call.request.body();
  const contentType = call.request.headers["content-type"];
  const known = knownSpecsOf(call, expected, contentType);
  const recognized = known?.decode(bytes);
  const { value, repeated, fractions } =
    recognized === undefined ? decodeBody(bytes, contentType, expected) : plainBody(recognized);
  // Nothing at all is an object without members.
  const given = value === null ? {} : value;
  if (!isRecord(given)) throw unrecognized(expected, noObject(given), bytes);
  const object = completeKind(given, expected, bytes);
  const refuse = (why: string) => badRequest(cannotBeHandled(expected.kind, expected.version, why));
  const wrong = fractions ? wrongNumber(expected.schema, bytes.toString("utf8"), value, !repeated.isEmpty) : undefined;
  if (wrong !== undefined) throw refuse(wrong);
  validateFields(call, expected, object, repeated, validation, refuse);
  if (recognized === undefined) known?.met(bytes);
  return object;
}

/** The specs of the kind that are known, if the body can have one of them. */
function knownSpecsOf(
  { installed }: Call,
  expected: ExpectedKind,
  contentType: string | undefined,
): KnownSpecs | undefined {
  if (expected !== installed.definition || installed.knownSpecs === undefined) return undefined;
  return bodyEncoding(contentType) === "json" ? installed.knownSpecs : undefined;
}

export interface DecodedBody {
  readonly value: unknown;
  readonly repeated: Repetitions;
  /** It is JSON with numbers that a type may mind for how they are written. */
  readonly fractions: boolean;
}

function typeOf({ group, version, kind }: Partial<ExpectedKind>): { apiVersion: string; kind: string } | undefined {
  if (group === undefined || version === undefined || kind === undefined) return undefined;
  return { apiVersion: apiVersionOf({ group, version }), kind };
}

const plainBody = (value: unknown): DecodedBody => ({ value, repeated: NO_REPETITIONS, fractions: false });

/** A body of any supported encoding as a plain value; `refuse` makes the error for one that cannot be read. */
export function decodeBody(
  bytes: Buffer,
  contentType: string | undefined,
  expected: Pick<ExpectedKind, "custom"> & Partial<ExpectedKind>,
  refuse: Refuse = (why) => unrecognized(expected, why, bytes),
): DecodedBody {
  const encoding = bodyEncoding(contentType) ?? (hasProtobufMagic(bytes) ? "protobuf" : undefined);
  if (encoding === undefined || (encoding === "protobuf" && expected.custom)) {
    const known = [CONTENT_TYPES.json, CONTENT_TYPES.yaml, CONTENT_TYPES.protobuf];
    throw unsupportedMediaType(
      `the body of the request was in an unknown format - accepted media types include: ${known.join(", ")}`,
    );
  }
  try {
    if (encoding === "protobuf") return plainBody(decodeEnvelope(bytes, typeOf(expected)));
    if (encoding === "json") {
      const { value, duplicates, fractions } = decodeJson(bytes, { judgesNumbers: !expected.custom });
      const repeated = repeatedInJson(bytes, duplicates);
      return { value, repeated, fractions: fractions && !expected.custom };
    }
    const { value, duplicateMessages } = decodeYaml(bytes.toString("utf8"));
    return { value, repeated: repeatedInYaml(duplicateMessages), fractions: false };
  } catch (error) {
    if (error instanceof ProtobufError && error.of !== undefined && expected.kind !== undefined) {
      const { apiVersion, kind } = error.of;
      const version = JSON.stringify(apiVersion.split("/").at(-1));
      throw badRequest(`${kind} in version ${version} cannot be handled as a ${expected.kind}: ${error.message}`);
    }
    if (error instanceof DecodeError || error instanceof ProtobufError) {
      throw refuse(encoding === "json" ? `${NO_TYPE}: ${error.message}` : error.message);
    }
    throw error;
  }
}

function unrecognized(expected: Partial<ExpectedKind>, why: string, body: Buffer): StatusError {
  const kind = expected.kind ?? "object";
  return badRequest(`the object provided is unrecognized (must be of type ${kind}): ${why} (${summary(body)})`);
}

const SUMMARY_LENGTH = 30;

/** The beginning of a body that makes no sense: as text when it seems to be JSON, otherwise in hexadecimal. */
function summary(body: Buffer): string {
  if (body.length === 0) return "<empty>";
  const start = body.subarray(0, SUMMARY_LENGTH);
  return `${start[0] === 0x7b ? start.toString() : start.toString("hex")}${body.length > SUMMARY_LENGTH ? " ..." : ""}`;
}

/** Checks apiVersion and kind against what the URL promises; fills them in where they are missing. */
function completeKind(value: Record<string, unknown>, expected: ExpectedKind, bytes: Buffer): KubeObject {
  const apiVersion = apiVersionOf(expected);
  const why = untyped(value);
  if (why !== undefined) throw unrecognized(expected, why, bytes);
  if (expected.custom) assertNamesKind(value, expected, apiVersion, bytes);
  else {
    value["apiVersion"] ||= apiVersion;
    value["kind"] ||= expected.kind;
  }
  if (value["kind"] !== expected.kind || value["apiVersion"] !== apiVersion) {
    throw ofAnotherKind(String(value["apiVersion"] ?? ""), String(value["kind"]), expected, bytes);
  }
  const { metadata = null } = value;
  if (metadata !== null && !isRecord(metadata)) {
    throw badRequest(cannotBeHandled(expected.kind, expected.version, noMetadata(metadata, expected)));
  }
  // In place: an object of a hundred thousand members costs as much to copy as to parse.
  value["metadata"] ??= {};
  return value as unknown as KubeObject;
}

const SCHEME = "pkg/api/legacyscheme/scheme.go:30";

/** A body says it is of another kind: one that there is, or none. */
function ofAnotherKind(apiVersion: string, kind: string, expected: ExpectedKind, bytes: Buffer): StatusError {
  const expectedVersion = apiVersionOf(expected);
  if (kind === expected.kind && (expected.custom || isBuiltin(apiVersion, kind))) {
    return badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version (${expectedVersion})`,
    );
  }
  if (apiVersion.split("/").length > 2) {
    return unrecognized(expected, `unexpected GroupVersion string: ${apiVersion}`, bytes);
  }
  const version = apiVersion.split("/").at(-1)!;
  const why = whyOfAnotherKind(apiVersion, kind, expected);
  return badRequest(`${kind} in version ${JSON.stringify(version)} cannot be handled as a ${expected.kind}: ${why}`);
}

/** Why an object of a kind cannot be read as one of the kind expected. */
export function whyOfAnotherKind(apiVersion: string, kind: string, expected: ExpectedKind): string {
  return isBuiltin(apiVersion, kind)
    ? notConvertible(apiVersion, kind, `${internalPackage(expected.group)}.${expected.kind}`)
    : notRegistered(apiVersion, kind, SCHEME);
}

function isBuiltin(apiVersion: string, kind: string): boolean {
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  return protobufMessageFor({ group: group!, version: version!, kind }) !== undefined;
}
/** Where upstream keeps the types that all versions of a group are converted to. */
function internalPackage(group: string): string {
  return group === "" ? "core" : group.split(".")[0]!;
}

/** What a decoder says of metadata that is no object. */
export function noMetadata(metadata: unknown, { custom, kind }: ExpectedKind): string {
  const where = custom ? "value" : `struct field ${kind}.metadata`;
  return `json: cannot unmarshal ${jsonKind(metadata)} into Go ${where} of type v1.ObjectMeta`;
}

/** A custom resource says itself what it is. */
function assertNamesKind(
  value: Record<string, unknown>,
  { kind, ...expected }: ExpectedKind,
  apiVersion: string,
  bytes: Buffer,
): void {
  const given = { apiVersion: String(value["apiVersion"] ?? ""), kind: String(value["kind"] ?? "") };
  if (given.kind === "") throw unrecognized({ kind }, `Object 'Kind' is missing in '${bytes.toString()}'`, bytes);
  if (given.apiVersion !== apiVersion || given.kind === kind) return;
  const { name = "" } = isRecord(value["metadata"]) ? value["metadata"] : {};
  const error = fieldInvalid("kind", given.kind, `must be ${kind}`);
  throw invalid({ group: expected.group, kind: given.kind }, typeof name === "string" ? name : "", [error]);
}

/** Makes the error for an object that does not decode, or not strictly, from what the decoder says. */
export type Refuse = (why: string) => StatusError;

/** Refuses what the kind's types cannot hold. @throws StatusError */
function assertDecodes(expected: ExpectedKind, object: KubeObject, refuse: Refuse): FieldCheck {
  const check = checkFields(expected.schema, object);
  // Values of custom resources are judged by their schema, with 422; only what all objects have has to decode.
  const [first] = expected.custom
    ? [...checkFields(METADATA, object.metadata).errors, ...undecodableInside(expected.schema, object)]
    : check.errors;
  if (first !== undefined) throw refuse(first);
  return check;
}

/** What is of another type in the objects inside a custom resource than it is in every object. */
function undecodableInside(schema: FieldSchema, value: KubeObject): string[] {
  return embeddedObjects(schema, value).flatMap(({ path, object }) => {
    const texts = ["apiVersion", "kind"].filter((name) => name in object && typeof object[name] !== "string");
    const [why] = checkFields(METADATA, object["metadata"]).errors;
    return [
      ...texts.map((name) => fieldInvalid(`${path}.${name}`, object[name], "must be a string")),
      ...(why === undefined ? [] : [fieldInvalid(`${path}.metadata`, object["metadata"], why)]),
    ].map(({ field, message }) => `${field}: ${message}`);
  });
}

/**
 * Brings an object into the form in which it is stored. @throws StatusError for what the kind's types cannot hold
 */
export function settleFields(expected: ExpectedKind, object: KubeObject, refuse: Refuse): FieldCheck {
  const { schema, custom } = expected;
  const doubtful = custom ? object : (doubtfulMembers(schema, object) as KubeObject | undefined);
  if (doubtful === undefined) return NOTHING_FOUND;
  const check = assertDecodes(expected, doubtful, refuse);
  if (doubtful === object) {
    prune(schema, object);
    return check;
  }
  const names = Object.keys(doubtful);
  prune(schema, doubtful);
  for (const name of names) {
    if (name in doubtful) object[name] = doubtful[name];
    else delete object[name];
  }
  return check;
}

const NOTHING_FOUND: FieldCheck = { unknown: [], errors: [] };

/**
 * Field validation: what cannot be decoded is always refused, unknown and repeated fields are refused, warned about or
 * ignored. Afterwards the object holds nothing its schema does not know.
 */
export function validateFields(
  call: Call,
  expected: ExpectedKind,
  object: KubeObject,
  repeated: Repetitions,
  validation: FieldValidation,
  refuse: Refuse,
): void {
  const { unknown } = settleFields(expected, object, refuse);
  if (validation !== "Ignore" && (unknown.length > 0 || !repeated.isEmpty)) {
    const problems = repeated.among(unknown, expected.custom);
    if (validation === "Strict") throw refuse(`strict decoding error: ${problems.join(", ")}`);
    call.warnings.push(...problems.flatMap(separateWarnings));
  }
}

const YAML_ERRORS = "yaml: unmarshal errors:\n";

/** Lines of one error of go-yaml's are warnings of their own. */
function separateWarnings(problem: string): string[] {
  if (!problem.startsWith(YAML_ERRORS)) return [problem];
  return problem
    .slice(YAML_ERRORS.length)
    .split("\n")
    .map((line) => line.trim());
}
