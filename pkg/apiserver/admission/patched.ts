import { checkFields, type ResourceDefinition, schemaOf } from "#pkg/api/index.ts";
import {
  apiVersionOf,
  fieldInvalid,
  internalError,
  invalid,
  isRecord,
  jsonKind,
  type KubeObject,
  type StatusError,
} from "#pkg/apimachinery/index.ts";
import type { Equivalents } from "./equivalents.ts";

const METADATA = schemaOf("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");

function namesKind(value: unknown): value is Record<string, unknown> & { kind: string } {
  return isRecord(value) && typeof value["kind"] === "string" && value["kind"] !== "";
}
function kindMissing(value: unknown): StatusError {
  return internalError(`Object 'Kind' is missing in '${JSON.stringify(value)}'`);
}

/** What a webhook's or policy's patch has made of an object, as the decoder of its kind reads it. @throws StatusError 500 or 422 */
export function decodePatched(
  before: Readonly<KubeObject>,
  result: unknown,
  definition: ResourceDefinition,
  equivalents: Equivalents,
): KubeObject {
  if (!namesKind(result)) throw kindMissing(result);
  const metadata = metadataOf(result, definition.custom);
  const object = { ...result, metadata } as KubeObject;
  if (definition.custom) assertSameCustom(before, object, definition, equivalents);
  else if (object.kind !== before.kind || object.apiVersion !== before.apiVersion) {
    const { kind, apiVersion } = object;
    throw internalError(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
  } else if (object.kind === definition.kind) {
    const [why] = checkFields(definition.schema, object).errors;
    if (why !== undefined) throw internalError(why);
  }
  return { ...object, apiVersion: before.apiVersion, kind: before.kind };
}

function metadataOf({ metadata, kind }: Record<string, unknown> & { kind: string }, custom: boolean): object {
  if (metadata === undefined || (metadata === null && !custom)) return {};
  if (isRecord(metadata)) return custom ? tidy(metadata) : metadata;
  throw internalError(
    custom
      ? "system metadata was not initialized"
      : `json: cannot unmarshal ${jsonKind(metadata)} into Go struct field ${kind}.metadata of type v1.ObjectMeta`,
  );
}

/** A custom resource's metadata is read field by field: what is of another type is not there. */
function tidy(metadata: Record<string, unknown>): Record<string, unknown> {
  const fields = Object.entries(metadata);
  return Object.fromEntries(
    fields.filter(([name, value]) => checkFields(METADATA, { [name]: value }).errors.length === 0),
  );
}

/** The kind stays; the version may be another one of those that are served. */
function assertSameCustom(
  before: Readonly<KubeObject>,
  { apiVersion, kind = "", metadata: { name = "" } }: KubeObject,
  definition: ResourceDefinition,
  equivalents: Equivalents,
): void {
  if (before.kind !== definition.kind) return; // its Scale
  if (!equivalents.of(definition).some((each) => apiVersionOf(each) === apiVersion)) {
    const why = `${apiVersion}, Kind=${kind} is unstructured and is not suitable for converting to`;
    throw internalError(`Internal error occurred: ${why} ${JSON.stringify(before.apiVersion)}`);
  }
  if (kind !== before.kind) {
    const error = fieldInvalid("kind", kind, `must be ${before.kind}`);
    throw invalid({ group: definition.group, kind }, name, [error]);
  }
}
