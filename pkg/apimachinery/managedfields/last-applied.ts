/**
 * The annotation in which client-side apply keeps its last configuration. Server-side apply by kubectl takes over what
 * it says without a conflict, and keeps it current while it is there.
 */
import { isRecord } from "../deep.ts";
import { parseJson } from "../json.ts";
import type { AnyObject, KubeObject } from "../object.ts";
import { TOTAL_ANNOTATION_SIZE_LIMIT_BYTES } from "../validation.ts";
import { compareObjects } from "./compare.ts";
import { fieldSetOf, TypedObjectError } from "./field-set.ts";
import { difference, type Fields } from "./fields.ts";
import type { Node } from "./nodes.ts";

const LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration";
/** The only manager whose applies speak for the annotation. */
export const LAST_APPLIED_MANAGER = "kubectl";

/** Fields of the last client-side configuration that still have its values: kubectl may take these over. */
export function fieldsOfLastApplied(node: Node, live: Readonly<AnyObject>, apiVersion: string): Fields {
  const text = live.metadata.annotations?.[LAST_APPLIED_ANNOTATION];
  if (text === undefined || text === "") return {};
  let configuration: unknown;
  try {
    configuration = parseJson(text);
  } catch {
    return {}; // written by a client; what cannot be read allows nothing
  }
  if (!isRecord(configuration) || configuration["apiVersion"] !== apiVersion) return {};
  try {
    const fields = fieldSetOf(node, configuration);
    const { changed, removed } = compareObjects(node, configuration, live);
    return difference(difference(fields, changed), removed);
  } catch (error) {
    if (error instanceof TypedObjectError) return {};
    throw error;
  }
}

/** Writes `applied` into the annotation of `object`, in place, if it has one; removes it when it would be too large. */
export function syncLastApplied(object: KubeObject, applied: Readonly<AnyObject>): void {
  const annotations = object.metadata.annotations;
  if (annotations?.[LAST_APPLIED_ANNOTATION] === undefined) return;
  const { [LAST_APPLIED_ANNOTATION]: _last, ...others } = applied.metadata.annotations ?? {};
  const text = JSON.stringify({ ...applied, metadata: { ...applied.metadata, annotations: others } });
  annotations[LAST_APPLIED_ANNOTATION] = `${text}\n`;
  const size = Object.entries(annotations).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );
  if (size > TOTAL_ANNOTATION_SIZE_LIMIT_BYTES) delete annotations[LAST_APPLIED_ANNOTATION];
}
