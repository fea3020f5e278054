import { scalePrinter, schemaOf } from "#pkg/api/index.ts";
import type { SubresourceKind } from "#pkg/api/index.ts";
import type { Scale } from "#pkg/api/types/autoscaling-v1.ts";
import {
  badRequest,
  deepCopy,
  fieldInvalid,
  internalError,
  invalid,
  isNotFound,
  isRecord,
  type KubeObject,
  labelSelectorAsSelector,
  notFound,
  selectorFromSet,
  type Subject,
} from "#pkg/apimachinery/index.ts";
import { applyObject, TypedObjectError } from "#pkg/apimachinery/managedfields/index.ts";
import { configuration, merge, reportRepetitions, untypedFailure } from "./apply.ts";
import { type ExpectedKind, readObject } from "./body.ts";
import type { Call } from "./call.ts";
import type { Written } from "./create.ts";
import { findEntry } from "./get.ts";
import { parseWriteOptions, type WriteOptions } from "./options.ts";
import { type Patch, patchOnto, readPatch } from "./patch.ts";
import { sendAs } from "./represent.ts";
import { guaranteedUpdate, mainView, type UpdateRequest, type WriteView } from "./update.ts";

type ScaleMapping = Extract<SubresourceKind, { type: "scale" }>;

const SCALE: ExpectedKind = {
  group: "autoscaling",
  version: "v1",
  kind: "Scale",
  get schema() {
    return schemaOf("io.k8s.api.autoscaling.v1.Scale");
  },
  custom: false,
};
const SHOWN_SCALE = { ...scalePrinter, protobufMessage: "k8s.io.api.autoscaling.v1.Scale" };
const PATCH_ATTEMPTS = 6;

/** Kinds of which it is the scale that is not found, and not the object. */
const SCALES_NOT_FOUND: ReadonlyMap<string, Subject> = new Map([
  ["deployments.apps", { group: "apps", resource: "deployments/scale" }],
  ["replicasets.apps", { group: "apps", resource: "replicasets/scale" }],
  ["replicationcontrollers.", { group: "autoscaling", resource: "replicationcontrollers/scale" }],
]);

/** GET, PUT and PATCH of /scale: an autoscaling/v1 view on the object. */
export async function serveScale(call: Call, mapping: ScaleMapping): Promise<void> {
  const { verb } = call.target;
  if (verb === "get") {
    const entry = await findEntry(call, call.target.query.get("resourceVersion") ?? "").catch((error: unknown) => {
      const { group, resource } = call.installed.subject;
      const scaled = SCALES_NOT_FOUND.get(`${resource}.${group}`);
      throw scaled !== undefined && isNotFound(error) ? notFound(scaled, call.target.name) : error;
    });
    const object = call.installed.object(entry);
    const { specReplicasPath } = mapping;
    if (readPath(object, specReplicasPath) === undefined && call.installed.definition.custom)
      throw internalError(`the spec replicas field ${JSON.stringify(specReplicasPath)} does not exist`);
    await sendScale(call, scaleOf(object, mapping));
    return;
  }
  const patch = verb === "patch" ? await readPatch(call, call.installed.definition.custom) : undefined;
  const kind = patch === undefined ? "UpdateOptions" : "PatchOptions";
  const options = parseWriteOptions(kind, call.target.query, patch?.type);
  const written =
    patch?.type === "apply"
      ? await applyScale(call, mapping, patch, options)
      : await updateScale(call, mapping, options, await scaleChange(call, patch, options));
  await call.installed.prepare([written.entry]);
  const object = written.entry === undefined ? written.object : call.installed.object(written.entry);
  await sendScale(call, scaleOf(object, mapping));
}

/** What a PUT or a patch makes of the present Scale. */
async function scaleChange(
  call: Call,
  patch: Patch | undefined,
  options: WriteOptions,
): Promise<(scale: Scale) => Scale> {
  if (patch !== undefined) {
    return (scale) => patchOnto(call, SCALE, patch, options, scale as unknown as KubeObject) as unknown as Scale;
  }
  const body = await readObject(call, SCALE, options.fieldValidation);
  return () => body as unknown as Scale;
}

/** Server-side apply: a Scale owns the replicas of the object it is a view on, and nothing else. */
function applyScale(call: Call, mapping: ScaleMapping, patch: Patch, options: WriteOptions): Promise<Written> {
  const applied = configuration(call, patch, SCALE);
  assertFitsScale(call, applied, options);
  const { resourceVersion } = applied.metadata;
  const { definition, apiVersion } = call.installed;
  const view = scaleView(call);
  return guaranteedUpdate(call, {
    view,
    options,
    attempts: PATCH_ATTEMPTS,
    managed: true,
    admissionView: admissionView(mapping),
    change: (old) => {
      const owned = { apiVersion, kind: definition.kind, metadata: deepCopy(applied.metadata) } as KubeObject;
      const replicas = readPath(applied, "spec.replicas");
      if (replicas !== undefined) writePath(owned, mapping.specReplicasPath, replicas);
      const object = merge(call, view, owned, old, options);
      reportRepetitions(call, patch, options);
      checkScale(call, scaleOf(object, mapping));
      if (resourceVersion === undefined || resourceVersion === "")
        object.metadata.resourceVersion = old.metadata.resourceVersion;
      return object;
    },
  });
}

/** @throws StatusError for fields that a Scale does not have */
function assertFitsScale(call: Call, applied: KubeObject, { fieldManager }: WriteOptions): void {
  try {
    const request = { manager: fieldManager, force: true, subresource: "scale", now: call.now, resetFields: [] };
    applyObject({ ...request, schema: SCALE.schema, live: undefined, applied, apiVersion: "autoscaling/v1" });
  } catch (error) {
    throw error instanceof TypedObjectError ? untypedFailure(applied, SCALE, error) : error;
  }
}

function scaleView(call: Call): WriteView {
  return { ...mainView(call), subresource: "scale" };
}

/** Admission is asked about the Scale, not about the object. */
function admissionView(mapping: ScaleMapping): NonNullable<UpdateRequest["admissionView"]> {
  return {
    of: (object) => scaleOf(object, mapping) as unknown as KubeObject,
    apply: (view, object) =>
      writePath(object, mapping.specReplicasPath, (view as unknown as Scale).spec?.replicas ?? 0),
  };
}

function updateScale(
  call: Call,
  mapping: ScaleMapping,
  options: WriteOptions,
  change: (scale: Scale) => Scale,
): Promise<Written> {
  return guaranteedUpdate(call, {
    view: scaleView(call),
    options,
    attempts: PATCH_ATTEMPTS,
    change: (old) => {
      const scale = change(scaleOf(old, mapping));
      checkScale(call, scale);
      const object = deepCopy(old) as KubeObject;
      writePath(object, mapping.specReplicasPath, scale.spec?.replicas ?? 0);
      const { uid, resourceVersion } = scale.metadata ?? {};
      if (uid !== undefined && uid !== "") object.metadata.uid = uid;
      // Without one it is whatever there is that is scaled, also where the kind itself insists.
      if (resourceVersion !== undefined && resourceVersion !== "") object.metadata.resourceVersion = resourceVersion;
      return object;
    },
    admissionView: admissionView(mapping),
  });
}

function checkScale(call: Call, scale: Scale): void {
  const { name, namespace } = scale.metadata ?? {};
  const { target } = call;
  if (name !== undefined && name !== "" && name !== target.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${target.name})`);
  }
  if (namespace !== undefined && namespace !== "" && namespace !== target.namespace) {
    throw badRequest(
      `the namespace of the object (${namespace}) does not match the namespace on the request (${target.namespace})`,
    );
  }
  const replicas = scale.spec?.replicas ?? 0;
  if (replicas >= 0) return;
  const error = fieldInvalid("spec.replicas", replicas, "must be greater than or equal to 0");
  throw invalid({ group: "autoscaling", kind: "Scale" }, target.name, [error]);
}

/** The view of an object as Scale. */
function scaleOf(object: Readonly<KubeObject>, mapping: ScaleMapping): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = selectorText(object, mapping.labelSelectorPath);
  const replicas = readPath(object, mapping.specReplicasPath);
  const present = readPath(object, mapping.statusReplicasPath);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: defined({ name, namespace, uid, resourceVersion, creationTimestamp }) as Scale["metadata"],
    spec: typeof replicas === "number" && replicas !== 0 ? { replicas } : {},
    status: { replicas: typeof present === "number" ? present : 0, ...(selector === "" ? {} : { selector }) },
  };
}

/** The same without members that are undefined. */
function defined<T extends object>(object: { [K in keyof T]: T[K] | undefined }): Partial<T> {
  const result: Partial<T> = {};
  for (const key in object) if (object[key] !== undefined) result[key] = object[key];
  return result;
}

function selectorText(object: Readonly<KubeObject>, path: string | undefined): string {
  const value = path === undefined ? undefined : readPath(object, path);
  if (typeof value === "string") return value;
  if (!isRecord(value)) return "";
  // ReplicationControllers have a plain map of labels.
  if (Object.values(value).every((item) => typeof item === "string")) {
    return selectorFromSet(value as Record<string, string>).toString();
  }
  return labelSelectorAsSelector(value).toString();
}

function segments(path: string): string[] {
  return path.replace(/^\./, "").split(".");
}

function readPath(object: unknown, path: string): unknown {
  let value = object;
  for (const segment of segments(path)) {
    if (!isRecord(value)) return undefined;
    value = value[segment];
  }
  return value;
}

function writePath(object: KubeObject, path: string, value: unknown): void {
  const names = segments(path);
  const last = names.pop()!;
  let parent: Record<string, unknown> = object;
  for (const name of names) {
    const next = parent[name];
    parent = (isRecord(next) ? next : (parent[name] = {})) as Record<string, unknown>;
  }
  parent[last] = value;
}

function sendScale(call: Call, scale: Scale): void | Promise<void> {
  return sendAs(call, 200, scale as unknown as KubeObject, SHOWN_SCALE);
}
