/**
 * What a test's runtime leaves on the machine: processes, mounts, network namespaces, a bridge, cgroups, a directory. A test
 * that ends removes it; of one that was killed, the next to start does.
 */
import { execFileSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { hasCode, processStat, SpawnRunner } from "#pkg/util/index.ts";
import { parseHierarchies } from "../cgroups/manager.ts";
import { CgroupTree } from "../cgroups/tree.ts";

const PREFIX = "kubelet-test-";
const OWNER_FILE = "owner.json";
const NETWORK_NAMESPACES = "/run/netns";

/** Whose the traces are, and where they lie. */
interface Owner {
  readonly pid: number;
  /** Tells the process from a later one of the same id. */
  readonly startedAt: string;
  readonly directory: string;
  /** Three octets of a /24. */
  readonly subnet: string;
  readonly bridge: string;
  readonly cgroupRoot: string;
}

/** Removes what killed tests have left, then makes a directory and names for one of this process. */
export async function claimTraces(kind: string, subnet: string): Promise<Owner> {
  await removeLeftovers();
  const directory = mkdtempSync(join(tmpdir(), PREFIX));
  const octets = subnet.split(".");
  const owner: Owner = {
    pid: process.pid,
    startedAt: processStat(process.pid)?.startTime ?? "",
    directory,
    subnet,
    bridge: `${kind}${octets.slice(1).join("x")}`,
    cgroupRoot: `/${PREFIX}${process.pid}-${octets.join("-")}`,
  };
  writeFileSync(join(directory, OWNER_FILE), JSON.stringify(owner));
  return owner;
}

function owners(): Owner[] {
  return (
    readdirSync(tmpdir())
      .filter((name) => name.startsWith(PREFIX))
      .map((name) => join(tmpdir(), name, OWNER_FILE))
      // In a directory that all may write to, what others put there decides nothing.
      .filter((file) => existsSync(file) && statSync(file).uid === process.getuid?.())
      .map((file) => JSON.parse(readFileSync(file, "utf8")) as Owner)
  );
}

async function removeLeftovers(): Promise<void> {
  const all = owners();
  const alive = all.filter(({ pid, startedAt }) => processStat(pid)?.startTime === startedAt);
  for (const owner of all) {
    if (alive.includes(owner)) continue;
    await killProcesses(owner);
    // One that runs may have taken the network over.
    await removeTraces(owner, { network: alive.every(({ subnet }) => subnet !== owner.subnet) });
  }
}

/** The runtime and its shims name the directory in their arguments; containers are found by their cgroups. */
async function killProcesses({ directory, cgroupRoot }: Owner): Promise<void> {
  const tree = cgroupTree();
  for (let attempt = 0; attempt < 100; attempt++) {
    const pids = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && optional(`/proc/${name}/cmdline`).includes(`${directory}/`))
      .map(Number);
    const contained = await tree.kill(cgroupRoot);
    if (pids.length + contained.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch (error) {
        if (!hasCode(error, "ESRCH")) throw error;
      }
    }
    await delay(50);
  }
}

function optional(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // whatever it belonged to is gone
  }
}

/** Everything but processes, of which none may be left. */
export async function removeTraces(owner: Owner, { network } = { network: true }): Promise<void> {
  const { directory, bridge, cgroupRoot } = owner;
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
  for (const point of points.filter((path) => path.startsWith(`${directory}/`)).sort((a, b) => b.length - a.length))
    execFileSync("umount", ["-l", point]);
  if (network) {
    removeNamespaces(owner);
    // The bridge exists only if a pod had a network.
    if (existsSync(`/sys/class/net/${bridge}`)) execFileSync("ip", ["link", "del", bridge], { stdio: "ignore" });
  }
  await cgroupTree().remove(cgroupRoot);
  rmSync(directory, { recursive: true, force: true });
}

/** Those of pods that nobody stopped: they have an address of the test's. */
function removeNamespaces({ subnet }: Owner): void {
  if (!existsSync(NETWORK_NAMESPACES)) return;
  for (const name of readdirSync(NETWORK_NAMESPACES).filter((entry) => entry.startsWith("cni-"))) {
    let addresses: string;
    try {
      addresses = execFileSync("ip", ["-n", name, "-brief", "address"], { encoding: "utf8", stdio: "pipe" });
    } catch {
      continue; // somebody removes it, or has only begun to make it
    }
    if (addresses.includes(` ${subnet}.`)) execFileSync("ip", ["netns", "del", name], { stdio: "ignore" });
  }
}

const cgroupTree = (): CgroupTree =>
  new CgroupTree(parseHierarchies(readFileSync("/proc/self/mountinfo", "utf8")), new SpawnRunner());

/** Cgroups of that name below the path, where others come and go meanwhile. */
export function cgroupsNamed(path: string, name: string): string[] {
  return cgroupTree()
    .directories(path)
    .filter((directory) => existsSync(directory))
    .flatMap((directory) => globSync(`**/${name}`, { cwd: directory }).map((found) => join(directory, found)));
}
