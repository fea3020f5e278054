/** Measures one kubits-node beside a bare loop of runtime calls; runs in the network of the lab that its argument names. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pods } from "#pkg/api/refs.ts";
import { type Client, createClient, http2Transport, loadKubeconfig } from "#pkg/client/index.ts";
import { GrpcRuntime } from "#pkg/kubelet/index.ts";
import { RealClock } from "#pkg/util/index.ts";
import { Lab } from "../lab.ts";
import { startBarePods } from "./bare-runtime.ts";
import { cpuSecondsOf, memoryMiBOf } from "./server.ts";

const IMAGE = "registry.k8s.io/pause:3.10";
const NAMESPACE = "default";
const LIMIT_MS = 300_000;
/** One after the other, then as a small Deployment would come, then as many as a node takes. */
const SINGLES = 7;
const SOME = 10;
const MANY = 100;
const SETTLE_MS = 10_000;
const IDLE_MS = 30_000;

const lab = Lab.attach(process.argv[2]!);
const node = lab.master;
const runtime = new GrpcRuntime(`unix://${lab.socket(node)}`);
const config = await loadKubeconfig(lab.adminConf);
const clock = new RealClock();
const transport = http2Transport({ ...config, clock });
const client: Client = createClient(transport, { userAgent: "bench", clock });
/** Whose CPU time a pod costs. What the runtime's shims use is not in it. */
const PROGRAMS = ["kubits-node", "containerd", "kubits-master"] as const;
const pids = PROGRAMS.map((name) => node.daemons.pid(name)!);
const [agentPid] = pids as [number];
const cpuNow = () => pids.map(cpuSecondsOf);

const podOf = (name: string) => ({
  metadata: { name, namespace: NAMESPACE },
  // Placed by hand: the scheduler has a measure of its own.
  spec: { nodeName: node.name, terminationGracePeriodSeconds: 0, containers: [{ name: "c", image: IMAGE }] },
});

/** Creates pods at once; answers the seconds until the last of them is Ready. */
async function startPods(count: number, prefix: string): Promise<number> {
  const { metadata } = await client.list(pods, { namespace: NAMESPACE, limit: 1 });
  const signal = AbortSignal.timeout(LIMIT_MS);
  const ready = new Set<string>();
  const begun = performance.now();
  const created = Promise.all(
    Array.from({ length: count }, (_, index) => client.create(pods, podOf(`${prefix}-${index}`))),
  );
  const watch = client.watch(pods, { namespace: NAMESPACE, resourceVersion: metadata.resourceVersion, signal });
  for await (const { type, object } of watch) {
    if (type !== "MODIFIED" || !object.metadata.name.startsWith(`${prefix}-`)) continue;
    if (object.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true)
      ready.add(object.metadata.name);
    if (ready.size === count) break;
  }
  const seconds = (performance.now() - begun) / 1000;
  await created;
  return seconds;
}

async function removePods(): Promise<void> {
  await client.deleteCollection(pods, NAMESPACE, { gracePeriodSeconds: 0 });
  const end = performance.now() + LIMIT_MS;
  while ((await runtime.listSandboxes()).some(({ metadata }) => metadata.namespace === NAMESPACE)) {
    if (performance.now() > end) throw new Error("pods of the measurement are still there");
    await delay(100);
  }
}

let runs = 0;
/** The same number of pods by the bare loop. */
async function bare(count: number): Promise<{ seconds: number; remove(): Promise<void> }> {
  const directory = join(lab.dir, "bare");
  return startBarePods(runtime, {
    count,
    prefix: `bare-${runs++}`,
    image: IMAGE,
    directory,
    cgroupParent: node.cgroupRoot,
  });
}

const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Milliseconds of CPU that each program has used since, divided by the number of pods. */
function cpuPerPod(before: readonly number[], count: number): number[] {
  return cpuNow().map((seconds, index) => ((seconds - before[index]!) / count) * 1000);
}

function report(title: string, ours: number, alone: number, cpu: readonly number[], bareRuntimeCpu: number): void {
  const costs = PROGRAMS.map((name, index) => `${name} ${cpu[index]!.toFixed(0)}`).join(", ");
  console.log(
    `${title.padEnd(26)}${ours.toFixed(3).padStart(8)} s   ${alone.toFixed(3)} s bare runtime calls, ${(ours / alone).toFixed(2)} times   ms CPU a pod: ${costs} (bare ${bareRuntimeCpu.toFixed(0)})`,
  );
}

async function measureSingles(): Promise<void> {
  const ours: number[] = [];
  const alone: number[] = [];
  const cpu = PROGRAMS.map(() => 0);
  let bareCpu = 0;
  for (let i = 0; i < SINGLES; i++) {
    const before = cpuNow();
    ours.push(await startPods(1, `single-${i}`));
    cpuPerPod(before, SINGLES).forEach((used, index) => (cpu[index]! += used));
    const beforeBare = cpuNow();
    const made = await bare(1);
    alone.push(made.seconds);
    bareCpu += cpuPerPod(beforeBare, SINGLES)[1]!;
    await made.remove();
    await removePods();
  }
  report("create to Ready, median", median(ours), median(alone), cpu, bareCpu);
}

async function measureTogether(count: number): Promise<void> {
  const beforeBare = cpuNow();
  const made = await bare(count);
  const bareCpu = cpuPerPod(beforeBare, count)[1]!;
  await made.remove();
  const before = cpuNow();
  const seconds = await startPods(count, `of-${count}`);
  report(`${count} pods Ready`, seconds, made.seconds, cpuPerPod(before, count), bareCpu);
}

async function measureIdle(): Promise<void> {
  await delay(SETTLE_MS);
  const cpu = cpuSecondsOf(agentPid);
  await delay(IDLE_MS);
  const percent = ((cpuSecondsOf(agentPid) - cpu) / (IDLE_MS / 1000)) * 100;
  const resident = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${agentPid}/status`, "utf8"))![1]) / 1024;
  const memory = `${memoryMiBOf(agentPid).toFixed(0)} MiB PSS, ${resident.toFixed(0)} MiB RSS`;
  console.log(`kubits-node with ${MANY} pods: ${memory}, ${percent.toFixed(1)} % of a core idle`);
}

try {
  await startPods(1, "warm"); // brings the image, and code into shape
  await removePods();
  await measureSingles();
  await measureTogether(SOME);
  await removePods();
  await measureTogether(MANY);
  await measureIdle();
  await removePods();
} finally {
  transport.close();
  runtime.close();
}
