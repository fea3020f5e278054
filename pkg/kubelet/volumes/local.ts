/** Volumes that are directories of this node: emptyDir, hostPath, and claims bound to hostPath, local or NFS volumes. */
import { chmod, mkdir, open, stat } from "node:fs/promises";
import { errorMessage, ifExists } from "#pkg/util/index.ts";
import type { HostPathVolumeSource, PersistentVolume, Volume } from "#pkg/api/types/core-v1.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { setFsGroup } from "./ownership.ts";
import { ClaimedVolumeError, UnprocessedVolumeError, VolumeError } from "./volume.ts";
import type { MountedVolume, VolumeContext, VolumeDriver } from "./volume.ts";

async function applyFsGroup(directory: string, { pod }: VolumeContext, always: boolean): Promise<void> {
  const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {};
  if (fsGroup === undefined) return;
  await setFsGroup(directory, fsGroup, {
    readOnly: false,
    onRootMismatch: !always || fsGroupChangePolicy === "OnRootMismatch",
  });
}

/** Memory limits of the pod bound a memory-backed volume that has no size of its own. */
function memorySize({ pod, downward }: VolumeContext, sizeLimit: string | number | undefined): number | undefined {
  const limits = pod.spec.containers.map(({ resources }) => resources?.limits?.["memory"]);
  const podLimit = limits.every((limit) => limit !== undefined)
    ? limits.reduce<number>((sum, limit) => sum + parseQuantity(limit!).toNumber(), 0)
    : undefined;
  const allocatable = downward.nodeAllocatable["memory"];
  const own = sizeLimit === undefined ? undefined : parseQuantity(sizeLimit).toNumber();
  const candidates = [
    own === 0 ? undefined : own,
    podLimit,
    allocatable === undefined ? undefined : parseQuantity(allocatable).toNumber(),
  ];
  const known = candidates.filter((candidate) => candidate !== undefined);
  return known.length === 0 ? undefined : Math.floor(Math.min(...known));
}

export const emptyDirDriver: VolumeDriver = {
  pluginDirectory: "kubernetes.io~empty-dir",
  async setUp({ emptyDir }, directory, context) {
    const { medium = "", sizeLimit } = emptyDir!;
    if (medium !== "" && !(await context.mounts.isMountPoint(directory))) {
      const pageSize = medium.startsWith("HugePages-")
        ? parseQuantity(medium.slice("HugePages-".length)).toNumber()
        : undefined;
      if (medium.startsWith("HugePages") && pageSize === undefined)
        throw new VolumeError("emptyDir medium HugePages needs a page size (HugePages-2Mi)");
      await context.mounts.mountTmpfs(directory, {
        sizeBytes: memorySize(context, sizeLimit),
        ...(pageSize === undefined ? {} : { pageSize: `${pageSize}` }),
      });
    }
    // mkdir's mode was subject to the umask.
    const { mode } = await stat(directory);
    if ((mode & 0o777) !== 0o777) await chmod(directory, 0o777);
    await applyFsGroup(directory, context, false);
    return { kind: "path", hostPath: directory, readOnly: false, relabel: true };
  },
};

async function checkHostPath({ path, type = "" }: HostPathVolumeSource): Promise<void> {
  if (type === "") return;
  let info = await ifExists(stat(path));
  if (info === undefined && type === "DirectoryOrCreate") {
    await mkdir(path, { recursive: true, mode: 0o755 });
    return;
  }
  if (info === undefined && type === "FileOrCreate") {
    const file = await open(path, "a", 0o644);
    await file.close();
    info = await stat(path);
  }
  const fail = (what: string) => new VolumeError(`hostPath type check failed: ${path} is not a ${what}`);
  if (type.startsWith("Directory") && info?.isDirectory() !== true) throw fail("directory");
  if (type.startsWith("File") && info?.isFile() !== true) throw fail("file");
  if (type === "Socket" && info?.isSocket() !== true) throw fail("socket file");
  if (type === "CharDevice" && info?.isCharacterDevice() !== true) throw fail("character device");
  if (type === "BlockDevice" && info?.isBlockDevice() !== true) throw fail("block device");
}

export const hostPathDriver: VolumeDriver = {
  pluginDirectory: "kubernetes.io~host-path",
  async setUp({ hostPath }) {
    await checkHostPath(hostPath!);
    return { kind: "path", hostPath: hostPath!.path, readOnly: false };
  },
};

async function setUpPersistentVolume(
  { spec, metadata }: PersistentVolume,
  directory: string,
  context: VolumeContext,
): Promise<MountedVolume> {
  if (spec.hostPath !== undefined) {
    await checkHostPath(spec.hostPath);
    return { kind: "path", hostPath: spec.hostPath.path, readOnly: false };
  }
  if (spec.local !== undefined) {
    if ((await ifExists(stat(spec.local.path))) === undefined)
      throw new VolumeError(`path "${spec.local.path}" does not exist`);
    if (!(await context.mounts.isMountPoint(directory))) await context.mounts.bind(spec.local.path, directory);
    await applyFsGroup(directory, context, true);
    return { kind: "path", hostPath: directory, readOnly: false, relabel: true };
  }
  if (spec.nfs !== undefined) return setUpNfs(spec.nfs, directory, context, spec.mountOptions ?? []);
  const kind = Object.keys(spec).find(
    (key) =>
      typeof spec[key as keyof typeof spec] === "object" &&
      !["capacity", "claimRef", "accessModes", "nodeAffinity", "mountOptions"].includes(key),
  );
  throw new VolumeError(
    `persistent volume ${metadata.name}: volume type ${kind ?? "unknown"} is not supported on this node`,
  );
}

async function setUpNfs(
  source: { server: string; path: string; readOnly?: boolean },
  directory: string,
  { mounts }: VolumeContext,
  options: readonly string[],
): Promise<MountedVolume> {
  if (!(await mounts.isMountPoint(directory))) {
    await mounts.mount(`${source.server}:${source.path}`, directory, "nfs", [
      ...options,
      ...(source.readOnly === true ? ["ro"] : []),
    ]);
  }
  return { kind: "path", hostPath: directory, readOnly: source.readOnly ?? false };
}

export const nfsDriver: VolumeDriver = {
  pluginDirectory: "kubernetes.io~nfs",
  setUp: ({ nfs }, directory, context) => setUpNfs(nfs!, directory, context, []),
};

async function volumeOfClaim(name: string, context: VolumeContext): Promise<PersistentVolume> {
  try {
    return (await context.claim(name, context.signal)).volume;
  } catch (cause) {
    const why = errorMessage(cause);
    const where = `${context.pod.metadata.namespace}/${name}`;
    throw new UnprocessedVolumeError(`error processing PVC ${where}: ${why}`, { cause });
  }
}

async function setUpClaim(
  name: string,
  readOnly: boolean,
  directory: string,
  context: VolumeContext,
): Promise<MountedVolume> {
  const volume = await volumeOfClaim(name, context);
  let mounted: MountedVolume;
  try {
    mounted = await setUpPersistentVolume(volume, directory, context);
  } catch (cause) {
    throw new ClaimedVolumeError(volume.metadata.name, cause);
  }
  return mounted.kind === "path" ? { ...mounted, readOnly: mounted.readOnly || readOnly } : mounted;
}

export const claimDriver: VolumeDriver = {
  pluginDirectory: "kubernetes.io~local-volume",
  setUp: ({ persistentVolumeClaim }: Volume, directory, context) =>
    setUpClaim(persistentVolumeClaim!.claimName, persistentVolumeClaim!.readOnly ?? false, directory, context),
};

/** Generic ephemeral volumes: a claim that the ephemeral-volume controller makes for the pod. */
export const ephemeralDriver: VolumeDriver = {
  pluginDirectory: "kubernetes.io~local-volume",
  setUp: ({ name }: Volume, directory, context) =>
    setUpClaim(`${context.pod.metadata.name}-${name}`, false, directory, context),
};

export const imageDriver: VolumeDriver = {
  pluginDirectory: "kubernetes.io~image",
  async setUp({ image }) {
    return { kind: "image", reference: image?.reference ?? "", pullPolicy: image?.pullPolicy };
  },
};
