import { readFileSync } from "node:fs";
import { SpawnRunner } from "#pkg/util/index.ts";

/**
 * The first `ip netns add` after boot mounts /run/netns over itself. Network namespaces of pods that are there by then are
 * mounted twice from that moment, so the runtime can no longer remove them. Hence: before a runtime starts, once.
 */
export async function shareNetns(): Promise<void> {
  const isMounted = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[4] === "/run/netns");
  if (isMounted) return;
  const name = `kubits-first-${process.pid}`;
  const runner = new SpawnRunner();
  await runner.run("ip", ["netns", "add", name]);
  await runner.run("ip", ["netns", "del", name]);
}
