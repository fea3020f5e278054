import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Node } from "#pkg/api/types/core-v1.ts";
import type { EventHandler, InformerFactory } from "#pkg/client/index.ts";
import { type CommandRunner, RealClock, SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import { PodNetwork, type TunnelMode, removePodNetwork } from "./index.ts";
import { linkLocal, planNetwork, tunnelMac } from "./routes.ts";

const runner = new SpawnRunner();
const prefix = `kpn-${process.pid}`;
const dir = mkdtempSync(join(tmpdir(), "kpn-"));

const node = (name: string, address: string, podCIDRs: string[]): Node => ({
  metadata: { name, uid: name, resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" },
  spec: { podCIDR: podCIDRs[0]!, podCIDRs },
  status: { addresses: [{ type: "InternalIP", address }] },
});

/** Node informers of all machines, fed by hand. */
class Nodes {
  readonly objects = new Map<string, Node>();
  readonly #handlers = new Set<EventHandler<Node>>();
  set(object: Node): void {
    this.objects.set(object.metadata.name, object);
    for (const handler of this.#handlers) handler.onUpdate?.(object, object);
  }
  delete(name: string): void {
    const object = this.objects.get(name)!;
    this.objects.delete(name);
    for (const handler of this.#handlers) handler.onDelete?.(object);
  }
  get factory(): InformerFactory {
    const informer = {
      lister: { get: () => undefined, list: () => [...this.objects.values()], byIndex: () => [] },
      synced: () => Promise.resolve(),
      addIndex: () => undefined,
      addHandler: (handler: EventHandler<Node>) => {
        this.#handlers.add(handler);
        return () => this.#handlers.delete(handler);
      },
    };
    const factory = {
      informer: () => informer,
      start: () => undefined,
      stop: () => undefined,
      synced: () => Promise.resolve(),
    };
    return factory as unknown as InformerFactory;
  }
}

/** One machine: a network namespace whose "pods" are the addresses of its bridge. */
class Machine {
  readonly name: string;
  readonly pod: string;
  readonly #server: ChildProcess;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(name: string, pod: string) {
    this.name = name;
    this.pod = pod;
    const code = 'require("net").createServer((s) => s.end(s.remoteAddress)).listen(8080, "::")';
    this.#server = spawn("nsenter", [`--net=/run/netns/${prefix}-${name}`, process.execPath, "-e", code], {
      stdio: "ignore",
    });
  }
  get runner(): CommandRunner {
    return {
      run: (file, args, options) =>
        runner.run("nsenter", [`--net=/run/netns/${prefix}-${this.name}`, file, ...args], options),
    };
  }
  get config() {
    return { cniConfDir: join(dir, this.name, "cni"), ipamDir: join(dir, this.name, "ipam"), bridge: "cni0" };
  }
  start(nodes: Nodes, tunnel: TunnelMode): void {
    this.#stop = new AbortController();
    const config = {
      ...this.config,
      nodeName: this.name,
      clusterCIDRs: ["10.244.0.0/16", "fd00:244::/48"],
      mtu: 0,
      tunnel,
      hostPorts: [8080],
      procNet: `/proc/${this.#server.pid}/net`,
    };
    const deps = { informers: nodes.factory, runner: this.runner, clock: new RealClock(), log: silentLogger, config };
    this.#running = new PodNetwork(deps).run(this.#stop.signal);
  }
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
  async end(): Promise<void> {
    await this.stop();
    this.#server.kill();
  }
  /** What the other machine's pod sees as the source, or the error's code. */
  async reach(from: string, to: string): Promise<string> {
    const code = `const s = require("net").connect({ host: "${to}", port: 8080, localAddress: "${from}" });
      s.setTimeout(800, () => { console.log("timeout"); process.exit(); });
      s.on("data", (d) => console.log(String(d))); s.on("error", (e) => console.log(e.code)); s.on("close", () => process.exit())`;
    return (await this.runner.run(process.execPath, ["-e", code])).stdout.trim().replace("::ffff:", "");
  }
  mtu(): number {
    const text = readFileSync(join(this.config.cniConfDir, "10-kubits.conflist"), "utf8");
    return (JSON.parse(text) as { plugins: Array<{ mtu: number }> }).plugins[0]!.mtu;
  }
}

async function becomes(probe: () => Promise<string>, expected: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const value = await probe();
    if (value === expected) return;
    assert.ok(Date.now() < deadline, `expected ${expected}, still ${value}`);
    await delay(50);
  }
}

describe("pods of three machines, one of them behind a router", { timeout: 300_000 }, () => {
  const nodes = new Nodes();
  const machines: Record<"a" | "b" | "c", Machine> = {} as Record<"a" | "b" | "c", Machine>;
  const ip = (name: string, ...args: string[]) => runner.run("ip", ["-n", `${prefix}-${name}`, ...args]);

  before(async () => {
    for (const name of ["r", "a", "b", "c"]) {
      await runner.run("ip", ["netns", "add", `${prefix}-${name}`]);
      await ip(name, "link", "set", "lo", "up");
    }
    await ip("r", "link", "add", "lan", "type", "bridge");
    await ip("r", "link", "set", "lan", "up");
    await ip("r", "address", "add", "172.40.1.254/24", "dev", "lan");
    for (const [name, address, gateway] of [
      ["a", "172.40.1.1", "172.40.1.254"],
      ["b", "172.40.1.2", "172.40.1.254"],
      ["c", "172.40.2.3", "172.40.2.254"],
    ] as const) {
      await ip("r", "link", "add", `to-${name}`, "type", "veth", "peer", "name", "eth0", "netns", `${prefix}-${name}`);
      await ip("r", "link", "set", `to-${name}`, "up");
      if (name === "c") await ip("r", "address", "add", `${gateway}/24`, "dev", `to-${name}`);
      else await ip("r", "link", "set", `to-${name}`, "master", "lan");
      await ip(name, "link", "set", "eth0", "up");
      await ip(name, "address", "add", `${address}/24`, "dev", "eth0");
      await ip(name, "route", "add", "default", "via", gateway);
      await ip(name, "link", "add", "cni0", "type", "bridge");
      await ip(name, "link", "set", "cni0", "up");
      const number = address.at(-1)!;
      await ip(name, "address", "add", `10.244.${number}.1/24`, "dev", "cni0");
      await ip(name, "address", "add", `fd00:244:0:${number}::1/64`, "dev", "cni0", "nodad");
      nodes.set(node(name, address, [`10.244.${number}.0/24`, `fd00:244:0:${number}::/64`]));
      machines[name] = new Machine(name, `10.244.${number}.1`);
    }
    await runner.run("nsenter", [`--net=/run/netns/${prefix}-r`, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
    for (const machine of Object.values(machines)) machine.start(nodes, "auto");
  });
  after(async () => {
    for (const machine of Object.values(machines)) await machine.end();
    for (const name of ["r", "a", "b", "c"]) await runner.run("ip", ["netns", "del", `${prefix}-${name}`]);
    rmSync(dir, { recursive: true, force: true });
  });

  test("on one link by routes, behind a router through the tunnel; sources are kept", async () => {
    const { a, b, c } = machines;
    await becomes(() => a.reach(a.pod, b.pod), a.pod);
    await becomes(() => a.reach(a.pod, c.pod), a.pod);
    await becomes(() => c.reach(c.pod, b.pod), c.pod);
    const { stdout } = await ip("a", "route", "show", "proto", "151");
    assert.match(stdout, /10\.244\.2\.0\/24 via 172\.40\.1\.2 dev eth0/);
    assert.match(stdout, /10\.244\.3\.0\/24 via 10\.244\.3\.0 dev kubits\.vxlan onlink/);
    assert.equal(a.mtu(), 1450);
  });

  test("IPv6 pods through an IPv4 tunnel", async () => {
    await becomes(() => machines.a.reach("fd00:244:0:1::1", "fd00:244:0:3::1"), "fd00:244:0:1::1");
  });

  test("the node itself reaches pods behind the tunnel", async () => {
    await becomes(() => machines.a.reach("10.244.1.0", machines.c.pod), "10.244.1.0");
  });

  test("a link that goes down and up again, and a route that somebody removes", async () => {
    const { a, b } = machines;
    await ip("a", "link", "set", "eth0", "down");
    assert.doesNotMatch(await a.reach(a.pod, b.pod), /^10/);
    await ip("a", "link", "set", "eth0", "up");
    await ip("a", "route", "replace", "default", "via", "172.40.1.254"); // as the machine's own network set-up would
    const up = Date.now();
    await becomes(() => a.reach(a.pod, b.pod), a.pod);
    assert.ok(
      Date.now() - up < 25_000,
      "routes are looked for more often than all else is, which is every thirty seconds",
    );
    await ip("a", "route", "del", "10.244.2.0/24");
    await becomes(() => a.reach(a.pod, b.pod), a.pod);
  });

  test("a node's new address is followed", async () => {
    await ip("c", "address", "del", "172.40.2.3/24", "dev", "eth0");
    await ip("c", "address", "add", "172.40.2.33/24", "dev", "eth0");
    await ip("c", "route", "replace", "default", "via", "172.40.2.254");
    nodes.set(node("c", "172.40.2.33", ["10.244.3.0/24", "fd00:244:0:3::/64"]));
    await becomes(() => machines.a.reach(machines.a.pod, machines.c.pod), machines.a.pod);
    const { stdout } = await runner.run("nsenter", [
      `--net=/run/netns/${prefix}-a`,
      "bridge",
      "fdb",
      "show",
      "dev",
      "kubits.vxlan",
    ]);
    assert.match(stdout, /dst 172\.40\.2\.33/);
    assert.doesNotMatch(stdout, /dst 172\.40\.2\.3 /);
  });

  test("a node that leaves takes its routes with it, and the last one the tunnel", async () => {
    const c = nodes.objects.get("c")!;
    nodes.delete("c");
    await becomes(async () => (await ip("a", "route", "show", "10.244.3.0/24")).stdout.trim(), "");
    await becomes(
      async () =>
        String((await machines.a.runner.run("ip", ["link", "show", "kubits.vxlan"], { allowFailure: true })).exitCode),
      "1",
    );
    nodes.set(c);
    await becomes(() => machines.a.reach(machines.a.pod, machines.c.pod), machines.a.pod);
  });

  test("always: the tunnel on one link too", async () => {
    const { a, b } = machines;
    for (const machine of [a, b]) {
      await machine.stop();
      machine.start(nodes, "always");
    }
    await becomes(
      async () => (await ip("a", "route", "show", "10.244.2.0/24")).stdout.trim(),
      "10.244.2.0/24 via 10.244.2.0 dev kubits.vxlan proto 151 onlink",
    );
    await becomes(() => a.reach(a.pod, b.pod), a.pod);
  });

  test("pods are reached, and reach others and the machine's ports for them, on one that lets nothing in or through", async () => {
    const { a, b } = machines;
    await runner.run("ip", ["netns", "add", `${prefix}-p`]);
    await ip("a", "link", "add", "veth-p", "type", "veth", "peer", "name", "eth0", "netns", `${prefix}-p`);
    await ip("a", "link", "set", "veth-p", "master", "cni0", "up");
    await ip("p", "address", "add", "10.244.1.2/24", "dev", "eth0");
    for (const link of ["lo", "eth0"]) await ip("p", "link", "set", link, "up");
    await ip("p", "route", "add", "default", "via", a.pod);
    const pod = new Machine("p", "10.244.1.2");
    try {
      await a.runner.run("iptables", ["-P", "FORWARD", "DROP"]);
      // Nor does the tunnel come in without leave: that is for whoever keeps the firewall.
      await a.runner.run("iptables", ["-P", "INPUT", "DROP"]);
      await becomes(() => pod.reach("10.244.1.2", a.pod), "10.244.1.2");
      await a.runner.run("iptables", ["-P", "INPUT", "ACCEPT"]);
      await becomes(() => pod.reach("10.244.1.2", b.pod), "10.244.1.2");
      await becomes(() => b.reach(b.pod, "10.244.1.2"), b.pod);
    } finally {
      for (const chain of ["FORWARD", "INPUT"]) await a.runner.run("iptables", ["-P", chain, "ACCEPT"]);
      await pod.end();
      await runner.run("ip", ["netns", "del", `${prefix}-p`]);
    }
  });

  test("removal leaves no route, rule, device or file", async () => {
    const { a } = machines;
    await a.stop();
    await removePodNetwork(a.config, a.runner, new AbortController().signal);
    assert.equal((await ip("a", "route", "show", "proto", "151")).stdout, "");
    assert.doesNotMatch((await ip("a", "-br", "link")).stdout, /vxlan|cni0/);
    assert.doesNotMatch((await a.runner.run("iptables-save", [])).stdout, /KUBITS/);
    assert.throws(() => a.mtu(), /ENOENT/);
  });
});

test("the plan: nodes without an address or out of reach have no route", () => {
  const all = [
    node("self", "192.0.2.1", ["10.1.0.0/24"]),
    node("near", "192.0.2.2", ["10.2.0.0/24"]),
    node("lost", "192.0.2.3", ["10.3.0.0/24"]),
    { ...node("new", "x", ["10.4.0.0/24"]), status: {} },
  ];
  const { routes, peers } = planNetwork(all, "self", "auto", (address) => (address === "192.0.2.3" ? "none" : "link"));
  assert.deepEqual([...routes.values()], [{ cidr: "10.2.0.0/24", via: "192.0.2.2", tunnel: false }]);
  assert.equal(peers.size, 0);
});

test("MACs are local, unicast and stable; link-local addresses follow them", () => {
  const mac = tunnelMac("192.0.2.1");
  assert.match(mac, /^02(:[0-9a-f]{2}){5}$/);
  assert.equal(mac, tunnelMac("192.0.2.1"));
  assert.notEqual(mac, tunnelMac("192.0.2.2"));
  assert.equal(linkLocal("02:00:5e:10:00:01"), "fe80::5eff:fe10:1");
});
