/**
 * Bytes and time per transaction with many services: `hack/node pkg/proxy/sync.bench.ts [services]`. Needs root; works in
 * a network namespace of its own.
 */
import { type CommandRunner, RealClock, SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import { type ProxyMode, createProxier } from "./index.ts";
import { ServiceTracker } from "./model/tracker.ts";
import { service, slice } from "./testing/objects.ts";

const count = Number(process.argv[2] ?? 10_000);
const runner = new SpawnRunner();
const { signal } = new AbortController();
const name = `kpb-${process.pid}`;
const endpoint = (index: number) => ({
  addresses: [`10.${128 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`],
  nodeName: "other",
  conditions: { ready: true },
});
const vip = (index: number) => `10.96.${index >> 8}.${index & 255}`;
const web = (index: number) =>
  service(`web-${index}`, { clusterIP: vip(index), ports: [{ name: "http", protocol: "TCP", port: 80 }] });

async function measure(what: string, mode: string, work: () => Promise<{ bytes: number }>): Promise<void> {
  const started = performance.now();
  const { bytes } = await work();
  console.log(
    `${mode.padEnd(10)} ${what.padEnd(28)} ${String(bytes).padStart(9)} bytes ${(performance.now() - started).toFixed(0).padStart(6)} ms`,
  );
}

await runner.run("ip", ["netns", "add", name]);
try {
  const inside: CommandRunner = {
    run: (file, args, options) =>
      runner.run("nsenter", [`--net=/run/netns/${name}`, file, ...args], { timeoutMs: 120_000, ...options }),
  };
  for (const mode of ["iptables", "nftables"] satisfies ProxyMode[]) {
    const config = {
      clusterCIDR: "10.128.0.0/9",
      masqueradeAll: false,
      nodePortAddresses: [],
      localhostNodePorts: true,
      nodeIP: "",
    };
    const proxier = createProxier(mode, {
      family: "IPv4",
      config,
      runner: inside,
      clock: new RealClock(),
      log: silentLogger,
    });
    const tracker = new ServiceTracker("IPv4", { nodeName: "node", zone: "" });
    for (let index = 0; index < count; index++) {
      tracker.setService(web(index));
      tracker.setSlice(slice(`web-${index}`, [endpoint(2 * index), endpoint(2 * index + 1)]));
    }
    const sync = () => proxier.sync(() => tracker.all(), tracker.takeChanges(), signal);
    tracker.takeChanges();
    await measure("everything", mode, () => proxier.sync(() => tracker.all(), undefined, signal));
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
    await proxier.cleanup(signal);
  }
} finally {
  await runner.run("ip", ["netns", "del", name]);
}
