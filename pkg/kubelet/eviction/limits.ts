/** Finds pods that use more local storage than they may: emptyDir size limits and containers' ephemeral-storage limits. */
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";

/** What a tree of files takes. */
export interface TreeUsage {
  readonly bytes: number;
  readonly inodes: number;
}

/** What a tree takes of its disk; counting ends where the bytes are known to be more than `stopAbove`. */
export async function treeUsage(path: string, stopAbove = Infinity): Promise<TreeUsage> {
  let bytes = 0;
  let inodes = 0;
  const pending = [path];
  for (let next = pending.pop(); next !== undefined && bytes <= stopAbove; next = pending.pop()) {
    try {
      const info = await lstat(next);
      bytes += info.blocks * 512;
      inodes++;
      if (info.isDirectory()) for (const name of await readdir(next)) pending.push(join(next, name));
    } catch (error) {
      // Files come and go while we count.
      if (!["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
  return { bytes, inodes };
}

/** Whether the pod has any limit worth looking at. */
export function hasStorageLimits({ spec }: Pod): boolean {
  return (
    (spec.volumes ?? []).some(({ emptyDir }) => emptyDir?.sizeLimit !== undefined && emptyDir.medium !== "Memory") ||
    spec.containers.some(({ resources }) => resources?.limits?.["ephemeral-storage"] !== undefined)
  );
}

/** Why a pod must go, and by which of its limits, as metrics name it. */
export interface BrokenLimit {
  readonly signal: "emptydirfs.limit" | "ephemeralcontainerfs.limit" | "ephemeralpodfs.limit";
  readonly message: string;
}

/** Why the pod must go, or undefined. `writable` is what each container has written to its layer and log. */
export async function brokenLimit(
  pod: Pod,
  podDirectory: string,
  writable: (container: string) => number,
): Promise<BrokenLimit | undefined> {
  let emptyDirs = 0;
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    if (emptyDir === undefined || (emptyDir.medium ?? "") !== "") continue;
    const used = (await treeUsage(join(podDirectory, "volumes/kubernetes.io~empty-dir", name))).bytes;
    emptyDirs += used;
    if (emptyDir.sizeLimit !== undefined && used > parseQuantity(emptyDir.sizeLimit).toNumber()) {
      const message = `Usage of EmptyDir volume "${name}" exceeds the limit "${emptyDir.sizeLimit}". `;
      return { signal: "emptydirfs.limit", message };
    }
  }
  const limited = pod.spec.containers.flatMap(({ name, resources }) => {
    const limit = resources?.limits?.["ephemeral-storage"];
    return limit === undefined ? [] : [{ name, limit: parseQuantity(limit) }];
  });
  if (limited.length === 0) return undefined;
  // The pod as a whole comes first, with what those of its containers that have a limit may use.
  const used = pod.spec.containers.reduce((sum, { name }) => sum + writable(name), emptyDirs);
  const total = limited.map(({ limit }) => limit).reduce((sum, limit) => sum.add(limit));
  if (used > total.toNumber()) {
    const message = `Pod ephemeral local storage usage exceeds the total limit of containers ${total.toString()}. `;
    return { signal: "ephemeralpodfs.limit", message };
  }
  const over = limited.find(({ name, limit }) => writable(name) > limit.toNumber());
  if (over === undefined) return undefined;
  const message = `Container ${over.name} exceeded its local ephemeral storage limit "${over.limit.toString()}". `;
  return { signal: "ephemeralcontainerfs.limit", message };
}
