/**
 * What a change costs with many services, and what they cost a packet: `hack/node pkg/proxy/sync.bench.ts [services [mode...]]`.
 * Bytes handed to the kernel's tools, time, CPU time of the tools and of this process; then connections per second of one
 * client through a service, beside those to the pod's own address. Needs root; works in network namespaces of its own.
 */
import { type CommandRunner, RealClock, SpawnRunner, silentLogger, processStat } from "#pkg/util/index.ts";
import { PROXY_MODES, type ProxyMode, createProxier } from "./index.ts";
import { ServiceTracker } from "./model/tracker.ts";
import { proxyOptions } from "./testing/conformance.ts";
import { PacketLab, becomes } from "./testing/lab.ts";
import { ENDPOINTS, service, slice } from "./testing/objects.ts";

const count = Number(process.argv[2] ?? 10_000);
const modes = PROXY_MODES.filter(
  (mode) => (process.argv.length > 3 ? process.argv.includes(mode, 3) : mode !== "ipvs"), // which few kernels have
);
const RATE_SECONDS = 2;
const runner = new SpawnRunner();
const { signal } = new AbortController();
const endpoint = (index: number) => ({
  addresses: [`10.${128 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`],
  nodeName: "other",
  conditions: { ready: true },
});
const vip = (index: number) => `10.96.${index >> 8}.${index & 255}`;
const web = (index: number) =>
  service(`web-${index}`, { clusterIP: vip(index), ports: [{ name: "http", protocol: "TCP", port: 80 }] });
/** The service that packets are sent through; the last one, so that rules which are looked through are looked through. */
const MEASURED = service("measured", { clusterIP: "10.97.255.1" });

/** Milliseconds of CPU that the programs started from here, and this process itself, have used so far. */
function cpuMs(): number {
  const { cpuSeconds, childrenCpuSeconds } = processStat("self")!;
  return (cpuSeconds + childrenCpuSeconds) * 1000;
}

async function measure(what: string, mode: string, work: () => Promise<{ bytes: number }>): Promise<void> {
  const cpu = cpuMs();
  const begun = performance.now();
  const { bytes } = await work();
  const ms = (performance.now() - begun).toFixed(0).padStart(7);
  const used = (cpuMs() - cpu).toFixed(0).padStart(7);
  console.log(`${mode.padEnd(10)} ${what.padEnd(30)} ${String(bytes).padStart(9)} bytes ${ms} ms ${used} ms CPU`);
}

async function measureMode(mode: ProxyMode, lab: PacketLab): Promise<void> {
  const inside: CommandRunner = {
    run: (file, args, options) =>
      runner.run("nsenter", [`--net=/run/netns/${lab.node.namespace}`, file, ...args], {
        timeoutMs: 120_000,
        ...options,
      }),
  };
  const config = {
    clusterCIDR: "10.128.0.0/9",
    masqueradeAll: false,
    nodePortAddresses: [],
    localhostNodePorts: true,
    nodeIP: "",
  };
  const clock = new RealClock();
  const proxier = createProxier(mode, { family: "IPv4", config, runner: inside, clock, log: silentLogger });
  const tracker = new ServiceTracker("IPv4", { nodeName: "node", zone: "" });
  for (let index = 0; index < count; index++) {
    tracker.setService(web(index));
    tracker.setSlice(slice(`web-${index}`, [endpoint(2 * index), endpoint(2 * index + 1)]));
  }
  tracker.setService(MEASURED);
  tracker.setSlice(slice("measured", [ENDPOINTS.podB]));
  const sync = () => proxier.sync(() => tracker.all(), tracker.takeChanges(), signal);
  tracker.takeChanges();
  await measure(`all ${count} services`, mode, () => proxier.sync(() => tracker.all(), undefined, signal));
  tracker.setSlice(slice("web-17", [endpoint(34), endpoint(99_999)]));
  await measure("one endpoint changes", mode, sync);
  tracker.setService({ ...web(count), spec: { ...web(count).spec, clusterIP: "10.95.0.1" } });
  tracker.setSlice(slice(`web-${count}`, [endpoint(3)]));
  await measure("a service comes", mode, sync);
  tracker.deleteService({ namespace: "default", name: `web-${count}` });
  await measure("a service goes", mode, sync);
  tracker.setSlice(slice("web-18", []));
  await measure("a service loses its endpoints", mode, sync);
  await measure("check: quick", mode, async () => ({ bytes: Number(!(await proxier.intact(signal))) }));
  await measure("check: everything", mode, async () => ({ bytes: Number(!(await proxier.verify(signal))) }));
  // Userspace mode's forwarder is in this process, outside of the lab: its packets are measured below.
  if (mode !== "userspace") await compare(mode, lab, count);
  await proxier.cleanup(signal);
}

async function compare(mode: string, lab: PacketLab, services: number): Promise<void> {
  const vipOf = MEASURED.spec.clusterIP!;
  await becomes(() => lab.podA.tcp(vipOf, 80), /^pod-b /, 30_000);
  const direct = await lab.podA.rate("10.244.0.3", 8080, RATE_SECONDS);
  const through = await lab.podA.rate(vipOf, 80, RATE_SECONDS);
  console.log(
    `${mode.padEnd(10)} connections/s with ${services} services: ${through.toFixed(0)} through one, ${direct.toFixed(0)} to the pod itself`,
  );
}

const lab = await PacketLab.create();
try {
  for (const mode of modes) await measureMode(mode, lab);
  await lab.node.do({ op: "proxy", options: proxyOptions("userspace") });
  await lab.node.do({ op: "set", kind: "services", object: MEASURED });
  await lab.node.do({ op: "set", kind: "endpointslices", object: slice("measured", [ENDPOINTS.podB]) });
  await compare("userspace", lab, 1);
} finally {
  await lab.destroy();
}
