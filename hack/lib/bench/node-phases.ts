/** Measures one kubits-node beside a bare loop of runtime calls; runs in the network of the lab that its argument names. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createClient, http2Transport, loadKubeconfig } from "#pkg/client/index.ts";
import { GrpcRuntime } from "#pkg/kubelet/index.ts";
import { RealClock } from "#pkg/util/index.ts";
import { kubectl } from "../cluster.ts";
import { Lab } from "../lab.ts";
import { startBarePods } from "./bare-runtime.ts";
import { BenchPods, IMAGE } from "./node-pods.ts";
import { cpuSecondsOf, memoryMiBOf } from "./server.ts";

/** As a small Deployment would come, then as many as a node takes. */
const SOME = 10;
const MANY = 110;
/** Code is compiled while it runs: what is measured has run before. */
const WARM_UP = 10;
const SETTLE_MS = 10_000;
const IDLE_MS = 30_000;
/** The calls without which there is no pod; the kubelet counts the time of each. */
const CALLS = ["run_podsandbox", "create_container", "start_container"];

const [directory, runs] = process.argv.slice(2) as [string, string];
const lab = Lab.attach(directory);
const node = lab.master;
const runtime = new GrpcRuntime(`unix://${lab.socket(node)}`);
const clock = new RealClock();
const transport = http2Transport({ ...(await loadKubeconfig(lab.adminConf)), clock });
const bench = new BenchPods(createClient(transport, { userAgent: "bench", clock }), runtime);
/** Whose CPU time a pod costs. What the runtime's shims use is not in it. */
const PROGRAMS = ["kubits-node", "containerd", "kubits-master"] as const;
const pids = PROGRAMS.map((name) => node.daemons.pid(name)!);
const [agentPid] = pids as [number];

interface Measured {
  readonly ready: number;
  readonly bindToRunning: number;
  /** Seconds that the runtime's calls took, all pods together. */
  readonly calls: number;
  /** The same pods by the bare loop. */
  readonly bare: number;
  /** Milliseconds of CPU a pod, by program. */
  readonly cpu: readonly number[];
  readonly removal: number;
}

/** Seconds that kubits-node has spent in the calls so far. */
async function callSeconds(): Promise<number> {
  const text = await kubectl(node.layout, ["get", "--raw", `/api/v1/nodes/${node.name}/proxy/metrics`]);
  const sums = text.matchAll(/^kubelet_runtime_operations_duration_seconds_sum\{operation_type="(\w+)"\} (\S+)$/gm);
  return [...sums].reduce((sum, [, call, seconds]) => sum + (CALLS.includes(call!) ? Number(seconds) : 0), 0);
}

let names = 0;

/** The same number of pods by the bare loop and by the cluster, one after the other. */
async function measure(count: number, keep = false): Promise<Measured> {
  const made = await startBarePods(runtime, {
    count,
    prefix: `bare-${names++}`,
    image: IMAGE,
    directory: join(lab.dir, "bare"),
    cgroupParent: node.cgroupRoot,
  });
  await made.remove();
  const callsBefore = await callSeconds();
  const cpuBefore = pids.map(cpuSecondsOf);
  const name = `of-${count}-${names++}`;
  const times = await (count === 1 ? bench.single(name) : bench.deployment(name, count));
  const cpu = pids.map((pid, index) => ((cpuSecondsOf(pid) - cpuBefore[index]!) / count) * 1000);
  const calls = (await callSeconds()) - callsBefore;
  const removal = keep ? Number.NaN : await bench.remove();
  return { ...times, calls, bare: made.seconds, cpu, removal };
}

async function repeated(count: number): Promise<Measured[]> {
  const all: Measured[] = [];
  for (let run = 0; run < Number(runs); run++) all.push(await measure(count));
  return all;
}

function median(all: readonly Measured[], of: (measured: Measured) => number): number {
  const values = all.map(of).sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)]!;
}

function report(title: string, all: readonly Measured[]): void {
  const ratio = median(all, ({ ready, bare }) => ready / bare).toFixed(2);
  const bare = median(all, (m) => m.bare).toFixed(3);
  const cpu = PROGRAMS.map((name, index) => `${name} ${median(all, (m) => m.cpu[index]!).toFixed(0)}`).join(", ");
  console.log(
    `${title.padEnd(26)}${median(all, ({ ready }) => ready).toFixed(3)} s; bare runtime calls ${bare} s, ${ratio} times; ` +
      `ms CPU a pod: ${cpu}; removed after ${median(all, ({ removal }) => removal).toFixed(1)} s`,
  );
}

function reportSingle(all: readonly Measured[]): void {
  report("create to Ready", all);
  const ms = (of: (measured: Measured) => number) => (median(all, of) * 1000).toFixed(0);
  console.log(
    `  bind to Running ${ms(({ bindToRunning }) => bindToRunning)} ms, of which the runtime's calls ` +
      `${ms(({ calls }) => calls)} ms; the rest ${ms(({ bindToRunning, calls }) => bindToRunning - calls)} ms`,
  );
}

async function measureIdle(): Promise<void> {
  await measure(100, true);
  await delay(SETTLE_MS);
  const cpu = cpuSecondsOf(agentPid);
  await delay(IDLE_MS);
  const percent = ((cpuSecondsOf(agentPid) - cpu) / (IDLE_MS / 1000)) * 100;
  const resident = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${agentPid}/status`, "utf8"))![1]) / 1024;
  const memory = `${memoryMiBOf(agentPid).toFixed(0)} MiB PSS, ${resident.toFixed(0)} MiB RSS`;
  console.log(`kubits-node with 100 pods: ${memory}, ${percent.toFixed(1)} % of a core idle`);
  await bench.remove();
}

try {
  await measure(WARM_UP); // brings the image, and code into shape
  console.log(`medians of ${runs} runs`);
  reportSingle(await repeated(1));
  report(`${SOME} pods of a Deployment`, await repeated(SOME));
  report(`${MANY} pods`, await repeated(MANY));
  await measureIdle();
} finally {
  transport.close();
  runtime.close();
}
