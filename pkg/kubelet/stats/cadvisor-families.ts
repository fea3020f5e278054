/** The series of cAdvisor, by name: what each has to say of a cgroup. Pure but for the names of devices. */
import { readFileSync } from "node:fs";
import type { CgroupCounters } from "../cgroups/counters.ts";
import type { FileSystemStats } from "./file-system.ts";
import type { InterfaceCounters } from "./network.ts";
import type { OpenFiles } from "./open-files.ts";
import type { Pressures } from "./pressure.ts";
import type { Labels } from "./prometheus-text.ts";

/** What is known of one cgroup. */
export interface Row {
  /** As text: every series of the row begins with them. */
  readonly labels: string;
  /** Epoch milliseconds. */
  readonly startedAt?: number | undefined;
  readonly counters: CgroupCounters;
  readonly pressures?: Pressures | undefined;
  readonly interfaces?: readonly InterfaceCounters[] | undefined;
  readonly files?: OpenFiles | undefined;
  /** How many descriptors its first process may have; -1 for any number. */
  readonly maxFiles?: number | undefined;
  readonly disk?: { readonly device: string; readonly usedBytes: number; readonly of?: FileSystemStats } | undefined;
}
interface Value {
  readonly value: number;
  readonly labels?: Labels;
}

/** A series of /metrics/cadvisor, and how its values are read. */
export interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly values: (row: Row) => readonly Value[];
}

const only = (value: number | undefined): Value[] => (value === undefined ? [] : [{ value }]);
const seconds = (nanoseconds: number) => nanoseconds / 1e9;

function series(type: Family["type"], name: string, help: string, values: Family["values"]): Family {
  return { name: `container_${name}`, type, help, values };
}
const counter = series.bind(undefined, "counter");
const gauge = series.bind(undefined, "gauge");

/** Of CPU quotas only where there is one. */
const throttling = (pick: (cpu: CgroupCounters["cpu"]) => number) => (row: Row) =>
  row.counters.cpu.quota === undefined ? [] : [{ value: pick(row.counters.cpu) }];

function memory(key: keyof CgroupCounters["memory"], name: string, help: string): Family {
  return gauge(name, help, ({ counters }) => [{ value: counters.memory[key] }]);
}

function network(direction: "receive" | "transmit", what: string, help: string, key: keyof InterfaceCounters): Family {
  return counter(`network_${direction}_${what}_total`, help, ({ interfaces = [] }) =>
    interfaces.map((one) => ({ value: Number(one[key]), labels: { interface: one.name } })),
  );
}

function io(name: string, help: string, pick: (io: CgroupCounters["io"][number]) => number): Family {
  return counter(`fs_${name}_total`, help, ({ counters }) =>
    counters.io.map((one) => ({ value: pick(one), labels: { device: deviceName(one.device) } })),
  );
}

function fileSystem(name: string, help: string, key: keyof FileSystemStats): Family {
  return gauge(`fs_${name}`, help, ({ disk }) =>
    disk?.of === undefined ? [] : [{ value: disk.of[key], labels: { device: disk.device } }],
  );
}

const PRESSURES: readonly Family[] = (["cpu", "memory", "io"] as const).flatMap((of) =>
  (
    [
      ["stalled", "full", "no tasks in the container could make progress"],
      ["waiting", "some", "tasks in the container have waited"],
    ] as const
  ).map(([name, kind, what]) =>
    counter(
      `pressure_${of}_${name}_seconds_total`,
      `Total time duration ${what} due to ${of === "memory" ? of : of.toUpperCase()} congestion.`,
      ({ pressures }) => only(pressures && pressures[of][kind].total / 1e6),
    ),
  ),
);

export const FAMILIES: readonly Family[] = [
  gauge("start_time_seconds", "Start time of the container since unix epoch in seconds.", ({ startedAt }) =>
    only(startedAt && Math.floor(startedAt / 1000)),
  ),
  counter("cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", ({ counters }) => [
    { value: seconds(counters.cpu.total), labels: { cpu: "total" } },
  ]),
  counter("cpu_user_seconds_total", "Cumulative user cpu time consumed in seconds.", ({ counters }) => [
    { value: seconds(counters.cpu.user) },
  ]),
  counter("cpu_system_seconds_total", "Cumulative system cpu time consumed in seconds.", ({ counters }) => [
    { value: seconds(counters.cpu.system) },
  ]),
  counter(
    "cpu_cfs_periods_total",
    "Number of elapsed enforcement period intervals.",
    throttling((cpu) => cpu.periods),
  ),
  counter(
    "cpu_cfs_throttled_periods_total",
    "Number of throttled period intervals.",
    throttling((cpu) => cpu.throttledPeriods),
  ),
  counter(
    "cpu_cfs_throttled_seconds_total",
    "Total time duration the container has been throttled.",
    throttling((cpu) => seconds(cpu.throttledNanoseconds)),
  ),
  gauge("spec_cpu_period", "CPU period of the container.", ({ counters }) => [{ value: counters.cpu.period }]),
  gauge("spec_cpu_quota", "CPU quota of the container.", ({ counters }) => only(counters.cpu.quota)),
  gauge("spec_cpu_shares", "CPU share of the container.", ({ counters }) => [{ value: counters.cpu.shares }]),
  memory("limit", "spec_memory_limit_bytes", "Memory limit for the container."),
  memory("swapLimit", "spec_memory_swap_limit_bytes", "Memory swap limit for the container."),
  memory("reservation", "spec_memory_reservation_limit_bytes", "Memory reservation limit for the container."),
  memory(
    "usage",
    "memory_usage_bytes",
    "Current memory usage in bytes, including all memory regardless of when it was accessed",
  ),
  memory("maxUsage", "memory_max_usage_bytes", "Maximum memory usage recorded in bytes"),
  memory("workingSet", "memory_working_set_bytes", "Current working set in bytes."),
  memory("rss", "memory_rss", "Size of RSS in bytes."),
  memory("cache", "memory_cache", "Number of bytes of page cache memory."),
  memory("mappedFile", "memory_mapped_file", "Size of memory mapped files in bytes."),
  memory("swap", "memory_swap", "Container swap usage in bytes."),
  counter("memory_failcnt", "Number of memory usage hits limits", ({ counters }) => [
    { value: counters.memory.limitHits },
  ]),
  counter("memory_failures_total", "Cumulative count of memory allocation failures.", ({ counters }) =>
    (["container", "hierarchy"] as const).flatMap((scope) => [
      { value: counters.memory.pageFaults, labels: { failure_type: "pgfault", scope } },
      { value: counters.memory.majorPageFaults, labels: { failure_type: "pgmajfault", scope } },
    ]),
  ),
  counter("oom_events_total", "Count of out of memory events observed for the container", ({ counters }) => [
    { value: counters.memory.oomKills },
  ]),
  gauge("processes", "Number of processes running inside the container.", ({ counters }) => [
    { value: counters.processes.length },
  ]),
  gauge("file_descriptors", "Number of open file descriptors for the container.", ({ files }) =>
    only(files?.descriptors),
  ),
  gauge("sockets", "Number of open sockets for the container.", ({ files }) => only(files?.sockets)),
  gauge(
    "ulimits_soft",
    "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice",
    ({ maxFiles }) => (maxFiles === undefined ? [] : [{ value: maxFiles, labels: { ulimit: "max_open_files" } }]),
  ),
  gauge("threads", "Number of threads running inside the container", ({ counters }) => [{ value: counters.threads }]),
  gauge(
    "threads_max",
    "Maximum number of threads allowed inside the container, infinity if value is zero",
    ({ counters }) => [{ value: counters.maxThreads }],
  ),
  io("reads_bytes", "Cumulative count of bytes read", ({ readBytes }) => readBytes),
  io("reads", "Cumulative count of reads completed", ({ reads }) => reads),
  io("writes_bytes", "Cumulative count of bytes written", ({ writeBytes }) => writeBytes),
  io("writes", "Cumulative count of writes completed", ({ writes }) => writes),
  gauge("fs_usage_bytes", "Number of bytes that are consumed by the container on this filesystem.", ({ disk }) =>
    disk === undefined ? [] : [{ value: disk.usedBytes, labels: { device: disk.device } }],
  ),
  fileSystem(
    "limit_bytes",
    "Number of bytes that can be consumed by the container on this filesystem.",
    "capacityBytes",
  ),
  fileSystem("inodes_free", "Number of available Inodes", "inodesFree"),
  fileSystem("inodes_total", "Number of Inodes", "inodes"),
  network("receive", "bytes", "Cumulative count of bytes received", "rxBytes"),
  network("receive", "packets", "Cumulative count of packets received", "rxPackets"),
  network("receive", "packets_dropped", "Cumulative count of packets dropped while receiving", "rxDropped"),
  network("receive", "errors", "Cumulative count of errors encountered while receiving", "rxErrors"),
  network("transmit", "bytes", "Cumulative count of bytes transmitted", "txBytes"),
  network("transmit", "packets", "Cumulative count of packets transmitted", "txPackets"),
  network("transmit", "packets_dropped", "Cumulative count of packets dropped while transmitting", "txDropped"),
  network("transmit", "errors", "Cumulative count of errors encountered while transmitting", "txErrors"),
  ...PRESSURES,
];

/** "/dev/sda" for "8:0", as far as the kernel still knows it. */
function deviceName(numbers: string): string {
  try {
    const name = /^DEVNAME=(.*)$/m.exec(readFileSync(`/sys/dev/block/${numbers}/uevent`, "utf8"))?.[1];
    return name === undefined ? numbers : `/dev/${name}`;
  } catch {
    return numbers; // the device has gone, and what was read from it still counts
  }
}
