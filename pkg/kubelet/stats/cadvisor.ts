/** /metrics/cadvisor: what each cgroup of pods uses, under the names and labels of cAdvisor that dashboards ask for. */
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { parseTime } from "#pkg/util/index.ts";
import { cgroupCounters } from "../cgroups/counters.ts";
import type { CgroupManager } from "../cgroups/manager.ts";
import type { MachineFacts } from "../node/machine.ts";
import { readySandbox, runningContainers } from "../pod/observed.ts";
import type { ObservedPod } from "../pod/observed.ts";
import { FAMILIES } from "./cadvisor-families.ts";
import type { Row } from "./cadvisor-families.ts";
import { deviceOf, fileSystemStats } from "./file-system.ts";
import { networkOf } from "./network.ts";
import { openFilesOf, softFileLimit } from "./open-files.ts";
import { pressuresOf } from "./pressure.ts";
import { family, familyText, labelPairs, sampleLine } from "./prometheus-text.ts";
import type { StatsProvider } from "./stats.ts";

/** What /metrics/cadvisor is made of. */
export interface CadvisorDeps {
  readonly stats: StatsProvider;
  readonly cgroups: CgroupManager;
  readonly machine: MachineFacts;
  readonly rootDirectory: string;
  readonly pods: readonly Pod[];
  readonly observed: (uid: string) => ObservedPod;
}

/** Whose cgroup it is. Prometheus wants the same labels everywhere: what does not apply is empty. */
interface Subject {
  readonly container?: string;
  readonly image?: string;
  /** The runtime's name of it. */
  readonly name?: string;
  readonly namespace?: string;
  readonly pod?: string;
}

async function rowOf(
  cgroups: CgroupManager,
  /** The cgroup's path. */
  id: string,
  { container = "", image = "", name = "", namespace = "", pod = "" }: Subject,
  rest: Pick<Row, "startedAt" | "disk"> & { readonly network?: boolean } = {},
): Promise<Row[]> {
  const counters = cgroupCounters(cgroups, id);
  if (counters === undefined) return [];
  const [process] = counters.processes;
  return [
    {
      labels: labelPairs({ container, id, image, name, namespace, pod }),
      counters,
      pressures: await pressuresOf(cgroups, id),
      ...rest,
      ...(rest.network === true && process !== undefined ? { interfaces: networkOf(process) } : {}),
      // All processes of the machine would be much to look through.
      ...(name === "" || process === undefined
        ? {}
        : { files: openFilesOf(counters.processes), maxFiles: softFileLimit(process) }),
    },
  ];
}

/** The pod's own cgroup, that of its sandbox, which has its network, and those of its containers. */
async function podRows(deps: CadvisorDeps, pod: Pod, layers: ReadonlyMap<string, number>): Promise<Row[]> {
  const { cgroups, observed } = deps;
  const { name, namespace = "" } = pod.metadata;
  const path = cgroups.podPath(pod);
  const whose = { namespace, pod: name };
  const below = cgroups.children(path);
  const child = (id: string) => below.find((one) => one.includes(id));
  const rows = await rowOf(cgroups, path, whose, { startedAt: parseTime(pod.status?.startTime) });
  const seen = observed(pod.metadata.uid);
  const sandbox = readySandbox(seen);
  const sandboxPath = sandbox === undefined ? undefined : child(sandbox.id);
  if (sandbox !== undefined && sandboxPath !== undefined)
    rows.push(
      ...(await rowOf(
        cgroups,
        join(path, sandboxPath),
        { ...whose, name: sandbox.id },
        // The node's network is not the pod's.
        { startedAt: sandbox.createdAt, network: pod.spec.hostNetwork !== true },
      )),
    );
  for (const { id, image, metadata, startedAt } of runningContainers(seen)) {
    const found = child(id);
    const usedBytes = layers.get(id);
    const disk = usedBytes === undefined ? undefined : { device: "", usedBytes };
    if (found !== undefined)
      rows.push(
        ...(await rowOf(
          cgroups,
          join(path, found),
          { ...whose, container: metadata.name, image, name: id },
          { startedAt, disk },
        )),
      );
  }
  return rows;
}

/** The machine as a whole. */
async function rootRow({ cgroups, stats, rootDirectory }: CadvisorDeps): Promise<Row[]> {
  const fs = await fileSystemStats(rootDirectory);
  const disk =
    fs === undefined ? undefined : { device: await deviceOf(rootDirectory), usedBytes: fs.usedBytes, of: fs };
  const { cpu, memory } = await stats.node();
  const interfaces = networkOf("self");
  const rows = await rowOf(cgroups, "/", {}, { disk });
  return rows.map((row) => ({
    ...row,
    interfaces,
    // Of the root of version 2 the kernel counts less than of what is below.
    counters: {
      ...row.counters,
      cpu: { ...row.counters.cpu, total: cpu.usageCoreNanoSeconds ?? 0 },
      memory: {
        ...row.counters.memory,
        usage: memory.usageBytes ?? 0,
        workingSet: memory.workingSetBytes ?? 0,
        rss: memory.rssBytes ?? 0,
      },
    },
  }));
}

function machineText({ cpuCount, memoryBytes, swapBytes, machineID, systemUUID, bootID }: MachineFacts): string {
  const labels = { boot_id: bootID, machine_id: machineID, system_uuid: systemUUID };
  const one = (name: string, help: string, value: number) => family(name, "gauge", help, [{ labels, value }]);
  return [
    one("machine_cpu_cores", "Number of logical CPU cores.", cpuCount),
    one("machine_memory_bytes", "Amount of memory installed on the machine.", memoryBytes),
    one("machine_swap_bytes", "Amount of swap memory available on the machine.", swapBytes),
  ].join("");
}

/** Where pods have no cgroups of their own there is nothing but the machine. */
export async function cadvisorMetrics(deps: CadvisorDeps, signal: AbortSignal): Promise<string> {
  const { cgroups, stats, pods } = deps;
  const usages = await stats.containers(signal);
  const layers = new Map(usages.map(({ id, rootfsUsedBytes }) => [id, rootfsUsedBytes]));
  const rows = await rootRow(deps);
  for (const path of cgroups.levels()) rows.push(...(await rowOf(cgroups, path, {})));
  for (const pod of pods) {
    rows.push(...(await podRows(deps, pod, layers)));
    // Others have their turn between one pod and the next.
    await setImmediate();
  }
  const texts = FAMILIES.map(({ name, type, help, values }) => {
    const lines = rows.flatMap((row) =>
      values(row).map(({ value, labels }) =>
        sampleLine(name, labels === undefined ? row.labels : `${row.labels},${labelPairs(labels)}`, value),
      ),
    );
    return familyText(name, type, help, lines);
  });
  const failed = family(
    "container_scrape_error",
    "gauge",
    "1 if there was an error while getting container metrics, 0 otherwise",
    [{ value: 0 }],
  );
  return texts.join("") + failed + machineText(deps.machine);
}
