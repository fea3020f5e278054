import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { SpawnRunner } from "#pkg/util/index.ts";

const DIRECTORY = "/run/netns";
const runner = new SpawnRunner();

function isMounted(): boolean {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[4] === DIRECTORY);
}

/**
 * The first `ip netns add` after boot mounts /run/netns over itself. Network namespaces of pods that are there by then are
 * mounted twice from that moment, so the runtime can no longer remove them. Hence: before a runtime starts, once.
 * `marker` notes that it was done here.
 */
export async function shareNetns(marker?: string): Promise<void> {
  if (isMounted()) return;
  const name = `kubits-first-${process.pid}`;
  await runner.run("ip", ["netns", "add", name]);
  await runner.run("ip", ["netns", "del", name]);
  if (marker !== undefined) writeFileSync(marker, "");
}

/** Takes back what `shareNetns` did with that marker, unless somebody has a network namespace there. */
export async function unshareNetns(marker: string): Promise<void> {
  if (!existsSync(marker)) return;
  if (isMounted() && readdirSync(DIRECTORY).length === 0) await runner.run("umount", [DIRECTORY]);
  rmSync(marker);
}
