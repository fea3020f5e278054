/** The mounts of one container: its volumes, /etc/hosts, and the file for its termination message. */
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import type { Container, EphemeralContainer, Pod } from "#pkg/api/types/core-v1.ts";
import type { ImageSpec, Mount } from "../cri/runtime.ts";
import type { Logger } from "#pkg/util/index.ts";
import type { Mounts } from "../mounts.ts";
import { bindSubPath } from "../volumes/subpath.ts";
import type { MountedVolume } from "../volumes/volume.ts";
import { terminationLogName } from "./configs.ts";
import { ContainerConfigError } from "./env-error.ts";
import { expand } from "./expansion.ts";

const PROPAGATION = { None: "Private", HostToContainer: "HostToContainer", Bidirectional: "Bidirectional" } as const;

/** What a container's mounts are made of. */
export interface MountsInput {
  readonly pod: Pod;
  readonly container: Container | EphemeralContainer;
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  /** Images of the container's image volumes, by volume, as the runtime knows them. */
  readonly images: ReadonlyMap<string, ImageSpec>;
  readonly env: ReadonlyMap<string, string>;
  readonly podDirectory: string;
  readonly mounts: Mounts;
  readonly log: Logger;
  /** Text of the pod's /etc/hosts; undefined leaves the image's file alone. */
  readonly hosts: string | undefined;
  readonly recursiveReadOnlySupported: boolean;
  /** Whether the kernel labels files by SELinux: what the pod owns must have its label. */
  readonly selinux: boolean;
}

function resolveSubPath(mount: { subPath?: string; subPathExpr?: string }, env: ReadonlyMap<string, string>): string {
  if (mount.subPathExpr === undefined || mount.subPathExpr === "") return mount.subPath ?? "";
  const missing: string[] = [];
  const expanded = expand(mount.subPathExpr, (name) => {
    const value = env.get(name);
    if (value === undefined || value === "") missing.push(name);
    return value;
  });
  if (missing.length > 0) throw new ContainerConfigError(`missing value for ${missing.join(", ")}`);
  if (expanded.startsWith("/"))
    throw new ContainerConfigError(`error SubPath \`${expanded}\` must not be an absolute path`);
  if (expanded.split("/").includes(".."))
    throw new ContainerConfigError(`unable to provision SubPath \`${expanded}\`: must not contain '..'`);
  return expanded;
}

/** What went wrong with a part of a volume may tell of the host's files: the pod learns only that it did. */
async function subPathOf(
  { container, mounts, podDirectory, log }: MountsInput,
  volumeName: string,
  hostPath: string,
  subPath: string,
  index: number,
): Promise<string> {
  const target = join(podDirectory, "volume-subpaths", volumeName, container.name, String(index));
  try {
    return await bindSubPath(mounts, hostPath, subPath, target);
  } catch (err) {
    log.warn({ err, volume: volumeName, container: container.name, subPath }, "Preparing a subPath failed");
    const message = `failed to prepare subPath for volumeMount "${volumeName}" of container "${container.name}"`;
    throw new ContainerConfigError(message, { cause: err });
  }
}

export async function containerMounts(input: MountsInput): Promise<Mount[]> {
  const { container, volumes, selinux } = input;
  const result: Mount[] = [];
  const relabelled = new Set<string>();
  let hasHosts = false;
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const volume = volumes.get(mount.name);
    if (volume === undefined)
      throw new ContainerConfigError(`cannot find volume "${mount.name}" to mount into container "${container.name}"`);
    const containerPath = mount.mountPath.startsWith("/") ? mount.mountPath : posix.join("/", mount.mountPath);
    if (containerPath === "/etc/hosts") hasHosts = true;
    const subPath = resolveSubPath(mount, input.env);
    if (volume.kind === "image") {
      result.push({
        containerPath,
        hostPath: "",
        readonly: true,
        image: input.images.get(mount.name)!,
        ...(subPath === "" ? {} : { imageSubPath: subPath }),
      });
      continue;
    }
    const hostPath =
      subPath === "" ? volume.hostPath : await subPathOf(input, mount.name, volume.hostPath, subPath, index);
    const readonly = volume.readOnly || mount.readOnly === true;
    const wantsRecursive = readonly && mount.recursiveReadOnly !== undefined && mount.recursiveReadOnly !== "Disabled";
    if (wantsRecursive && mount.recursiveReadOnly === "Enabled" && !input.recursiveReadOnlySupported) {
      throw new ContainerConfigError(
        `failed to resolve recursive read-only mode: volume "${mount.name}" requested recursive read-only mode, but it is not supported by the runtime`,
      );
    }
    result.push({
      containerPath,
      hostPath,
      readonly,
      propagation: PROPAGATION[(mount.mountPropagation ?? "None") as keyof typeof PROPAGATION],
      recursiveReadOnly: wantsRecursive && input.recursiveReadOnlySupported,
      // Once for each container, by the first of its mounts.
      selinuxRelabel: selinux && volume.relabel === true && !relabelled.has(mount.name),
    });
    relabelled.add(mount.name);
  }
  if (input.hosts !== undefined && !hasHosts) {
    const hostPath = join(input.podDirectory, "etc-hosts");
    await mkdir(dirname(hostPath), { recursive: true, mode: 0o750 });
    await writeFile(hostPath, input.hosts, { mode: 0o644 });
    result.push({ containerPath: "/etc/hosts", hostPath, readonly: false, selinuxRelabel: selinux });
  }
  const messagePath = container.terminationMessagePath ?? "/dev/termination-log";
  if (messagePath !== "") {
    const hostPath = join(input.podDirectory, "containers", container.name, terminationLogName());
    await mkdir(dirname(hostPath), { recursive: true, mode: 0o750 });
    await writeFile(hostPath, "");
    await chmod(hostPath, 0o666); // any user of the container may write it, whatever our umask
    result.push({ containerPath: messagePath, hostPath, readonly: false, selinuxRelabel: selinux });
  }
  return result;
}
