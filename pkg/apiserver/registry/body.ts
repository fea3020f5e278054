import { cannotBeHandled, checkFields, type FieldCheck, prune, schemaOf } from "#pkg/api/index.ts";
import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import {
  apiVersionOf,
  badRequest,
  DecodeError,
  decodeJson,
  decodeYaml,
  isRecord,
  type KubeObject,
  unsupportedMediaType,
} from "#pkg/apimachinery/index.ts";
import { decodeEnvelope, hasProtobufMagic, ProtobufError } from "#pkg/apimachinery/protobuf/index.ts";
import { bodyEncoding, CONTENT_TYPES, parseMediaType } from "../http/negotiate.ts";
import type { Call } from "./call.ts";
import type { FieldValidation } from "./options.ts";

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
 * without unknown fields. The object is the request's own copy.
 * @throws StatusError 400, 413, 415
 */
export async function readObject(call: Call, expected: ExpectedKind, validation: FieldValidation): Promise<KubeObject> {
  const { value, repeated } = decodeBody(await call.request.body(), call.request.headers["content-type"], expected);
  const object = completeKind(value, expected);
  validateFields(call, expected, object, repeated, validation, true);
  return object;
}

/** What is said about repeated fields, as upstream's decoders say it: before or after what is said of unknown ones. */
export interface Repeated {
  readonly before: readonly string[];
  readonly after: readonly string[];
}
const NO_REPETITIONS: Repeated = { before: [], after: [] };

export function repeatedInJson(duplicates: readonly string[]): Repeated {
  if (duplicates.length === 0) return NO_REPETITIONS;
  return { before: [], after: duplicates.map((field) => `duplicate field ${JSON.stringify(field)}`) };
}
/** go-yaml reports all lines as one error. */
export function repeatedInYaml(messages: readonly string[]): Repeated {
  if (messages.length === 0) return NO_REPETITIONS;
  return { before: [`yaml: unmarshal errors:\n  ${messages.join("\n  ")}`], after: [] };
}

/** A body of any supported encoding as a plain value. */
export function decodeBody(
  bytes: Buffer,
  contentType: string | undefined,
  expected: Pick<ExpectedKind, "custom">,
): { value: unknown; repeated: Repeated } {
  const encoding = bodyEncoding(contentType) ?? (hasProtobufMagic(bytes) ? "protobuf" : undefined);
  if (encoding === undefined || (encoding === "protobuf" && expected.custom)) {
    const known = [CONTENT_TYPES.json, CONTENT_TYPES.yaml, ...(expected.custom ? [] : [CONTENT_TYPES.protobuf])];
    const given = parseMediaType(contentType ?? "").type;
    throw unsupportedMediaType(
      `the body of the request was in an unknown format - accepted media types include: ${known.join(", ")} (got ${JSON.stringify(given)})`,
    );
  }
  try {
    if (encoding === "protobuf") return { value: decodeEnvelope(bytes), repeated: NO_REPETITIONS };
    if (encoding === "json") {
      const { value, duplicates } = decodeJson(bytes);
      return { value, repeated: repeatedInJson(duplicates) };
    }
    const { value, duplicateMessages } = decodeYaml(bytes.toString("utf8"));
    return { value, repeated: repeatedInYaml(duplicateMessages) };
  } catch (error) {
    if (error instanceof DecodeError || error instanceof ProtobufError) {
      throw badRequest(`the object provided is unrecognized (must be of type ${kindHint(expected)}): ${error.message}`);
    }
    throw error;
  }
}

function kindHint(expected: Partial<ExpectedKind>): string {
  return expected.kind ?? "object";
}

/** Checks apiVersion and kind against what the URL promises; fills them in where they are missing. */
function completeKind(value: unknown, expected: ExpectedKind): KubeObject {
  if (!isRecord(value)) {
    throw badRequest(
      `the object provided is unrecognized (must be of type ${expected.kind}): the body is not an object`,
    );
  }
  const apiVersion = apiVersionOf(expected);
  if (value["apiVersion"] === undefined || value["apiVersion"] === "") value["apiVersion"] = apiVersion;
  if (value["kind"] === undefined || value["kind"] === "") value["kind"] = expected.kind;
  if (value["kind"] !== expected.kind) {
    const given = String(value["kind"]);
    throw badRequest(
      `${given} in version ${JSON.stringify(String(value["apiVersion"]).split("/").at(-1))} cannot be handled as a ${expected.kind}: converting (${String(value["apiVersion"])}.${given}) to (${apiVersion}.${expected.kind}): unknown conversion`,
    );
  }
  if (value["apiVersion"] !== apiVersion) {
    throw badRequest(
      `the API version in the data (${String(value["apiVersion"])}) does not match the expected API version (${apiVersion})`,
    );
  }
  // Fields in our order: the head of stored bytes is always apiVersion, kind, metadata.
  const { apiVersion: _a, kind: _k, metadata, ...rest } = value;
  return { apiVersion, kind: expected.kind, metadata: isRecord(metadata) ? metadata : {}, ...rest } as KubeObject;
}

/** Refuses what the kind's types cannot hold. @throws StatusError 400 */
export function assertDecodes(expected: ExpectedKind, object: KubeObject): FieldCheck {
  const check = checkFields(expected.schema, object);
  // Values of custom resources are judged by their schema, with 422; only the metadata has to decode.
  const [first] = expected.custom ? checkFields(METADATA, object.metadata).errors : check.errors;
  if (first !== undefined) throw badRequest(cannotBeHandled(expected.kind, expected.version, first));
  return check;
}

/**
 * Field validation: what cannot be decoded is always refused, unknown and repeated fields are refused, warned about or
 * ignored. Afterwards the object holds nothing its schema does not know.
 */
export function validateFields(
  call: Call,
  expected: ExpectedKind,
  object: KubeObject,
  repeated: Repeated,
  validation: FieldValidation,
  wrapped: boolean,
): void {
  const { unknown } = assertDecodes(expected, object);
  if (validation !== "Ignore" && (unknown.length > 0 || repeated !== NO_REPETITIONS)) {
    const unknownTexts = unknown.map((field) => `unknown field ${JSON.stringify(field)}`);
    const problems = [...repeated.before, ...unknownTexts, ...repeated.after];
    if (validation === "Strict") {
      const why = `strict decoding error: ${problems.join(", ")}`;
      throw badRequest(wrapped ? cannotBeHandled(expected.kind, expected.version, why) : why);
    }
    call.warnings.push(...problems);
  }
  prune(expected.schema, object);
}
