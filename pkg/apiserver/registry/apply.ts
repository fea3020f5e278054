import {
  apiVersionOf,
  badRequest,
  conflict,
  isRecord,
  type KubeObject,
  notFound,
  StatusError,
} from "#pkg/apimachinery/index.ts";
import { cannotBeHandled } from "#pkg/api/index.ts";
import { applyObject, TypedObjectError } from "#pkg/apimachinery/managedfields/index.ts";
import { type ExpectedKind, settleFields } from "./body.ts";
import type { Call } from "./call.ts";
import { createNew, fillNamespace, sendWritten, type Written } from "./create.ts";
import { resetFieldsOf } from "./managed.ts";
import type { WriteOptions } from "./options.ts";
import type { Patch } from "./patch.ts";
import { changedPart, NOTHING_UNCHANGED, unchangedOf, withUnchanged } from "./unchanged.ts";
import { checkNames, guaranteedUpdate, sharesUnchanged, type WriteView } from "./update.ts";

/** Lost races before the client is told; the merge is done again each time. */
const ATTEMPTS = 6;

/** Server-side apply through a view: merges a configuration into the object, or creates the object from it. */
export async function applyThrough(call: Call, view: WriteView, patch: Patch, options: WriteOptions): Promise<void> {
  const { installed, target } = call;
  const applied = configuration(call, patch, installed.definition);
  let created = false;
  const written: Written = await guaranteedUpdate(call, {
    view,
    options,
    attempts: ATTEMPTS,
    managed: true,
    change: (old) => {
      const { resourceVersion } = applied.metadata;
      const merged = merge(call, view, applied, old, options, sharesUnchanged(call, view));
      reportRepetitions(call, patch, options);
      // Only a version in the configuration is a condition.
      if (resourceVersion === undefined || resourceVersion === "")
        merged.metadata.resourceVersion = old.metadata.resourceVersion;
      return merged;
    },
    createAbsent: async () => {
      if (view.subresource !== "") throw notFound(installed.subject, target.name);
      const { uid } = applied.metadata;
      if (uid !== undefined && uid !== "") {
        const why = `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
        throw conflict(installed.subject, target.name, why);
      }
      created = true;
      const object = merge(call, view, applied, undefined, options);
      reportRepetitions(call, patch, options);
      return createNew(call, object, options, true);
    },
  });
  const sent = sendWritten(call, created ? 201 : 200, written);
  if (sent !== undefined) await sent;
}

/** The applied configuration: an object of the kind, named as in the URL. @throws StatusError 400 */
export function configuration(call: Call, patch: Patch, of: ExpectedKind): KubeObject {
  const value = patch.value as Record<string, unknown>; // readPatch has made sure of it
  const expectedVersion = apiVersionOf(of);
  const { kind = "", apiVersion = "/" } = value;
  if (apiVersion !== expectedVersion || kind !== of.kind) {
    throw badRequest(`invalid object type: ${String(apiVersion)}, Kind=${String(kind)}`);
  }
  const object = { ...value, metadata: isRecord(value["metadata"]) ? value["metadata"] : {} } as KubeObject;
  // Whoever applies to what exists need not repeat its name. A copy, because the check adds the URL's namespace.
  checkNames(call, { ...object, metadata: { ...object.metadata, name: object.metadata.name ?? call.target.name } });
  return object;
}

/** Fields that a configuration has twice; asked only about one that applies. @throws StatusError 400 */
export function reportRepetitions(call: Call, { repeated }: Patch, { fieldValidation }: WriteOptions): void {
  const text = repeated.yaml;
  if (text === undefined || fieldValidation === "Ignore") return;
  const whole = `error strict decoding YAML: error converting YAML to JSON: ${text}`;
  if (fieldValidation === "Strict") throw badRequest(whole);
  if (!call.warnings.includes(whole)) call.warnings.push(whole);
}

/** The live object with a configuration merged into it. @throws StatusError 409, 500 */
export function merge(
  call: Call,
  view: WriteView,
  applied: KubeObject,
  live: Readonly<KubeObject> | undefined,
  options: WriteOptions,
  sharing = false,
): KubeObject {
  const { installed, now } = call;
  if (live === undefined) checkNames(call, { ...applied, metadata: { ...applied.metadata } });
  try {
    const result = applyObject({
      schema: installed.definition.schema,
      live,
      applied,
      manager: options.fieldManager,
      force: options.force,
      apiVersion: installed.apiVersion,
      subresource: view.subresource,
      now,
      resetFields: resetFieldsOf(installed, view.subresource),
      sharing,
    });
    if (result.conflict !== undefined) throw result.conflict;
    const { object } = result;
    const unchanged = live === undefined ? NOTHING_UNCHANGED : unchangedOf(object, live);
    const part = changedPart(object, unchanged);
    const { kind, version } = installed.definition;
    settleFields(installed.definition, part, (why) => badRequest(cannotBeHandled(kind, version, why)));
    installed.definition.applyDefaults(part, true);
    if (live === undefined) fillNamespace(call, part);
    return live === undefined ? part : withUnchanged(part, live, unchanged);
  } catch (error) {
    throw error instanceof TypedObjectError ? untypedFailure(applied, installed.definition, error) : error;
  }
}

/** Upstream's answer to a configuration that does not fit its schema. */
export function untypedFailure(applied: KubeObject, of: ExpectedKind, error: TypedObjectError): StatusError {
  const { namespace = "", name = "" } = applied.metadata;
  const message = `failed to create typed patch object (${namespace}/${name}; ${apiVersionOf(of)}, Kind=${of.kind}): ${error.message}`;
  return new StatusError({ status: "Failure", code: 500, message }, { cause: error });
}
