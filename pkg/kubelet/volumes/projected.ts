/** Volumes whose files come from the API: configMap, secret, downwardAPI, and projected, which combines them. */
import type {
  ConfigMap,
  DownwardAPIVolumeFile,
  KeyToPath,
  Secret,
  Volume,
  VolumeProjection,
} from "#pkg/api/types/core-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { fieldValue, resourceValue } from "../pod/downward.ts";
import { writeAtomically } from "./atomic-writer.ts";
import { inMemory, onDisk } from "./file-calls.ts";
import type { FileCalls } from "./file-calls.ts";
import type { PayloadFile } from "./atomic-writer.ts";
import { VolumeError } from "./volume.ts";
import type { MountedVolume, VolumeContext, VolumeDriver } from "./volume.ts";

const DEFAULT_MODE = 0o644;
const DEFAULT_TOKEN_SECONDS = 3600;

type Files = Map<string, PayloadFile>;
const encode = (text: string) => new TextEncoder().encode(text);

function contents(object: ConfigMap | Secret, kind: "configmap" | "secret"): Map<string, Uint8Array> {
  const result = new Map<string, Uint8Array>();
  if (kind === "secret") {
    for (const [key, value] of Object.entries((object as Secret).data ?? {}))
      result.set(key, Buffer.from(value, "base64"));
    return result;
  }
  const { data, binaryData } = object as ConfigMap;
  for (const [key, value] of Object.entries(data ?? {})) result.set(key, encode(value));
  for (const [key, value] of Object.entries(binaryData ?? {})) result.set(key, Buffer.from(value, "base64"));
  return result;
}

interface ObjectSource {
  readonly kind: "configmap" | "secret";
  readonly name: string;
  readonly items?: readonly KeyToPath[];
  readonly optional?: boolean;
}

async function addObject(
  files: Files,
  source: ObjectSource,
  defaultMode: number,
  context: VolumeContext,
): Promise<void> {
  const namespace = context.pod.metadata.namespace ?? "";
  const { kind, name, items, optional = false } = source;
  const object =
    kind === "configmap"
      ? await context.objects.configMap(namespace, name, context.signal)
      : await context.objects.secret(namespace, name, context.signal);
  if (object === undefined) {
    if (optional) return;
    throw new VolumeError(`${kind} "${name}" not found`);
  }
  const data = contents(object, kind);
  if (items === undefined || items.length === 0) {
    for (const [key, bytes] of data) files.set(key, { data: bytes, mode: defaultMode });
    return;
  }
  for (const { key, path, mode } of items) {
    const bytes = data.get(key);
    if (bytes !== undefined) files.set(path, { data: bytes, mode: mode ?? defaultMode });
    else if (!optional)
      throw new VolumeError(
        kind === "secret"
          ? `references non-existent secret key: ${key}`
          : `configmap references non-existent config key: ${key}`,
      );
  }
}

function addDownward(
  files: Files,
  items: readonly DownwardAPIVolumeFile[],
  defaultMode: number,
  context: VolumeContext,
): void {
  for (const { path, mode, fieldRef, resourceFieldRef } of items) {
    const text =
      fieldRef !== undefined
        ? fieldValue(fieldRef, context.downward)
        : resourceFieldRef !== undefined
          ? resourceValue(resourceFieldRef, undefined, context.downward)
          : "";
    files.set(path, { data: encode(text), mode: mode ?? defaultMode });
  }
}

/** All containers under one user get a token only that user can read; otherwise whoever runs in the pod may. */
function tokenOwnership(context: VolumeContext, defaultMode: number): { mode: number; uid?: number } {
  const { securityContext, containers, initContainers = [], ephemeralContainers = [] } = context.pod.spec;
  if (securityContext?.fsGroup !== undefined) return { mode: 0o600 };
  const users = new Set(
    [...containers, ...initContainers, ...ephemeralContainers].map(
      (c) => c.securityContext?.runAsUser ?? securityContext?.runAsUser,
    ),
  );
  const [only] = users;
  return users.size === 1 && only !== undefined ? { mode: 0o600, uid: only } : { mode: defaultMode };
}

async function addToken(
  files: Files,
  projection: NonNullable<VolumeProjection["serviceAccountToken"]>,
  defaultMode: number,
  context: VolumeContext,
): Promise<number> {
  const seconds = projection.expirationSeconds ?? DEFAULT_TOKEN_SECONDS;
  const { token, renewAt } = await context.requestToken(projection.audience, seconds, context.signal);
  files.set(projection.path, { data: encode(token), ...tokenOwnership(context, defaultMode) });
  return renewAt;
}

async function write(
  directory: string,
  files: Files,
  context: VolumeContext,
  calls: FileCalls,
  recheckAt?: number,
): Promise<MountedVolume> {
  const { clock, random, pod } = context;
  await writeAtomically(directory, files, { clock, random, calls, fsGroup: pod.spec.securityContext?.fsGroup });
  // What the API says is not for a container to change; upstream mounts these read-only too.
  const mounted = { kind: "path", hostPath: directory, readOnly: true, relabel: true } as const;
  return { ...mounted, ...(recheckAt === undefined ? {} : { recheckAt }) };
}

export const configMapDriver: VolumeDriver = {
  pluginDirectory: "kubernetes.io~configmap",
  async setUp({ configMap }, directory, context) {
    const files: Files = new Map();
    const { name = "", items, optional, defaultMode = DEFAULT_MODE } = configMap!;
    await addObject(files, { kind: "configmap", name, items, optional }, defaultMode, context);
    return write(directory, files, context, onDisk);
  },
};

export const secretDriver: VolumeDriver = {
  pluginDirectory: "kubernetes.io~secret",
  inMemory: true,
  async setUp({ secret }, directory, context) {
    const files: Files = new Map();
    const { secretName = "", items, optional, defaultMode = DEFAULT_MODE } = secret!;
    await addObject(files, { kind: "secret", name: secretName, items, optional }, defaultMode, context);
    return write(directory, files, context, inMemory);
  },
};

export const downwardDriver: VolumeDriver = {
  pluginDirectory: "kubernetes.io~downward-api",
  inMemory: true,
  async setUp({ downwardAPI }, directory, context) {
    const files: Files = new Map();
    addDownward(files, downwardAPI!.items ?? [], downwardAPI!.defaultMode ?? DEFAULT_MODE, context);
    return write(directory, files, context, inMemory);
  },
};

/** Resolves to when a token must be renewed. */
async function addSource(
  files: Files,
  source: VolumeProjection,
  mode: number,
  context: VolumeContext,
): Promise<number | undefined> {
  const { configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle } = source;
  if (configMap !== undefined)
    await addObject(files, { kind: "configmap", name: configMap.name ?? "", ...configMap }, mode, context);
  else if (secret !== undefined)
    await addObject(files, { kind: "secret", name: secret.name ?? "", ...secret }, mode, context);
  else if (downwardAPI !== undefined) addDownward(files, downwardAPI.items ?? [], mode, context);
  else if (serviceAccountToken !== undefined) return addToken(files, serviceAccountToken, mode, context);
  else if (clusterTrustBundle?.name !== undefined) {
    const bundle = await context.trustBundle(clusterTrustBundle.name, context.signal);
    if (bundle !== undefined) files.set(clusterTrustBundle.path, { data: encode(bundle), mode });
    else if (clusterTrustBundle.optional !== true)
      throw new VolumeError(`clustertrustbundle "${clusterTrustBundle.name}" not found`);
  } else if (Object.keys(source).length > 0)
    // An empty one had a field whose feature is off, which the API server has forgotten.
    throw new VolumeError(`projected source ${Object.keys(source).join(", ")} is not supported`);
  return undefined;
}

export const projectedDriver: VolumeDriver = {
  pluginDirectory: "kubernetes.io~projected",
  inMemory: true,
  async setUp({ projected }: Volume, directory, context) {
    const files: Files = new Map();
    const mode = projected!.defaultMode ?? DEFAULT_MODE;
    let recheckAt: number | undefined;
    const problems = new Set<string>();
    for (const source of projected!.sources ?? []) {
      try {
        const renewAt = await addSource(files, source, mode, context);
        if (renewAt !== undefined) recheckAt = Math.min(recheckAt ?? Infinity, renewAt);
      } catch (error) {
        if (context.signal?.aborted === true) throw error;
        problems.add(errorMessage(error));
      }
    }
    if (problems.size > 0) {
      const all = [...problems].join(", ");
      throw new VolumeError(problems.size === 1 ? all : `[${all}]`);
    }
    return write(directory, files, context, inMemory, recheckAt);
  },
};
