import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type CommandRunner, SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import { ServiceTracker } from "../model/tracker.ts";
import { ENDPOINTS, service, slice } from "../testing/objects.ts";
import { IpvsProxier } from "./proxier.ts";
import { ipvsRules } from "./rules.ts";
import { ipvsDifference, parseIpvs, parseSets, portState, setDefinitions, setDifference } from "./state.ts";

const { podA, remote } = ENDPOINTS;
const { signal } = new AbortController();
const config = {
  clusterCIDR: "10.244.0.0/16",
  masqueradeAll: false,
  nodePortAddresses: [],
  localhostNodePorts: false,
  nodeIP: "172.31.1.1",
};

function modelOf(spec: object, ingress: readonly string[] = []) {
  const tracker = new ServiceTracker("IPv4", { nodeName: "node", zone: "" });
  const ports = [{ name: "http", protocol: "TCP", port: 80, nodePort: 30_080 }];
  tracker.setService(service("web", { clusterIP: "10.96.0.5", ports, ...spec }, ingress));
  tracker.setSlice(slice("web", [podA, remote]));
  tracker.takeChanges();
  return tracker;
}
const stateOf = (spec: object, ingress?: readonly string[]) =>
  portState([...modelOf(spec, ingress).all().values()][0]!, "IPv4", "rr", ["172.31.1.1"]);

test("a load balancer service with policy Local, affinity and source ranges, as commands", () => {
  const spec = {
    type: "LoadBalancer",
    externalTrafficPolicy: "Local",
    sessionAffinity: "ClientIP",
    loadBalancerSourceRanges: ["192.0.2.0/24"],
    healthCheckNodePort: 31_999,
  };
  const { servers, addresses, sets } = stateOf(spec, ["203.0.113.9"]);
  assert.deepEqual([...addresses], ["10.96.0.5", "203.0.113.9"]);
  assert.equal(
    ipvsDifference(new Map(), servers),
    `-A -t 10.96.0.5:80 -s rr -p 10800
-a -t 10.96.0.5:80 -r 10.244.0.2:8080 -m -w 1
-a -t 10.96.0.5:80 -r 10.244.1.2:8080 -m -w 1
-A -t 203.0.113.9:80 -s rr -p 10800
-a -t 203.0.113.9:80 -r 10.244.0.2:8080 -m -w 1
-A -t 172.31.1.1:30080 -s rr -p 10800
-a -t 172.31.1.1:30080 -r 10.244.0.2:8080 -m -w 1
`,
  );
  assert.equal(
    setDifference(new Map(), sets),
    `add KUBE-IPVS-IPS 10.96.0.5
add KUBE-IPVS-IPS 203.0.113.9
add KUBE-CLUSTER-IP 10.96.0.5,tcp:80
add KUBE-LOAD-BALANCER 203.0.113.9,tcp:80
add KUBE-LOAD-BALANCER-LOCAL 203.0.113.9,tcp:80
add KUBE-LOAD-BALANCER-FW 203.0.113.9,tcp:80
add KUBE-LOAD-BALANCER-SOURCE-CIDR 203.0.113.9,tcp:80,192.0.2.0/24
add KUBE-NODE-PORT-TCP 30080
add KUBE-NODE-PORT-LOCAL-TCP 30080
add KUBE-HEALTH-CHECK-NODE-PORT 31999
add KUBE-LOOP-BACK 10.244.0.2,tcp:8080,10.244.0.2
`,
  );
});

test("differences: a changed scheduler edits, a changed endpoint adds before it takes away", () => {
  const before = stateOf({}).servers;
  const key = "tcp 10.96.0.5:80";
  const after = new Map(before);
  after.set(key, { ...before.get(key)!, scheduler: "lc", servers: new Set(["10.244.0.2:8080", "10.244.9.9:8080"]) });
  after.delete("tcp 172.31.1.1:30080");
  assert.equal(
    ipvsDifference(before, after),
    `-E -t 10.96.0.5:80 -s lc
-a -t 10.96.0.5:80 -r 10.244.9.9:8080 -m -w 1
-d -t 10.96.0.5:80 -r 10.244.1.2:8080
-D -t 172.31.1.1:30080
`,
  );
  assert.equal(ipvsDifference(before, before), "");
});

test("what was written reads back the same", () => {
  const { servers } = stateOf({ sessionAffinity: "ClientIP" });
  assert.deepEqual(parseIpvs(ipvsDifference(new Map(), servers), "IPv4"), new Map(servers));
  assert.equal(parseIpvs(ipvsDifference(new Map(), servers), "IPv6").size, 0);
});

test("iptables rules look into sets only, so they do not grow with services", () => {
  const { nat, filter } = ipvsRules("IPv4", config);
  assert.deepEqual(nat.get("KUBE-SERVICES"), [
    "-m set --match-set KUBE-LOAD-BALANCER dst,dst -j KUBE-LOAD-BALANCER",
    "! -s 10.244.0.0/16 -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ",
    "-m set --match-set KUBE-EXTERNAL-IP dst,dst -j KUBE-MARK-MASQ",
    "-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
    "-m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT",
  ]);
  assert.equal(
    filter.get("KUBE-IPVS-FILTER")?.at(-1),
    "-m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT",
  );
  assert.match(setDefinitions("IPv6"), /^create KUBE-6-LOAD-BALANCER-SOURCE-CID hash/m);
  assert.match(setDefinitions("IPv6"), /^create KUBE-6-CLUSTER-IP hash:ip,port family inet6 maxelem 65536$/m);
  // Every set that a rule names is defined, and in the same family.
  for (const [, name] of JSON.stringify([...nat, ...filter]).matchAll(/--match-set (\S+)/g))
    assert.match(setDefinitions("IPv4"), new RegExp(`^create ${name} `, "m"));
});

/** The parts of a kernel that ipvs mode talks to: commands change them and read them back. */
class Kernel implements CommandRunner {
  readonly servers = new Map<string, Set<string>>();
  readonly addresses = new Set<string>();
  readonly sets = new Map<string, Set<string>>();
  device = false;
  iptables = "";

  async run(file: string, args: readonly string[], options: { stdin?: string | Uint8Array } = {}) {
    const lines = String(options.stdin ?? "")
      .split("\n")
      .filter((line) => line !== "");
    const stdout = this.#answer(file, args, lines);
    return { exitCode: 0, stdout, stderr: "" };
  }

  #answer(file: string, args: readonly string[], lines: readonly string[]): string {
    const command = [file, ...args].join(" ");
    if (command === "ipvsadm --save --numeric") {
      return [...this.servers].map(([line, targets]) => [line, ...targets].join("\n")).join("\n");
    }
    if (command === "ipvsadm --restore") for (const line of lines) this.#ipvs(line);
    else if (command === "ipset restore -exist") for (const line of lines) this.#ipset(line);
    else if (command === "ipset save") {
      return [...this.sets]
        .flatMap(([name, entries]) => [...entries].map((entry) => `add ${name} ${entry}`))
        .join("\n");
    } else if (file === "ip" && args[0] === "-batch") {
      for (const line of lines) {
        const [, verb, ip = ""] = line.split(" ");
        if (verb === "add") this.addresses.add(ip.split("/")[0]!);
        else this.addresses.delete(ip.split("/")[0]!);
      }
    } else if (command.startsWith("ip link show")) return this.device ? "kube-ipvs0" : "";
    else if (command.startsWith("ip link add")) this.device = true;
    else if (command.includes("address show")) {
      const own = command.includes("dev") ? [] : ["172.31.1.1"];
      const all = [...own, ...this.addresses].map((local) => ({ local, scope: "global" }));
      return JSON.stringify([{ addr_info: all }]);
    } else if (file === "iptables-restore")
      this.iptables ||= lines.map((line) => line.replace(/^-I /, "-A ")).join("\n");
    else if (file === "iptables-save") return this.iptables;
    return "";
  }

  #ipvs(line: string): void {
    const [command, , address] = line.split(" ");
    const service = [...this.servers.keys()].find((known) => known.split(" ")[2] === address);
    if (command === "-A") {
      assert.equal(service, undefined, `${line}: exists`);
      this.servers.set(line, new Set());
      return;
    }
    assert.ok(service !== undefined, `${line}: no such service`);
    if (command === "-a") this.servers.get(service)!.add(line);
    else if (command === "-D") this.servers.delete(service);
    else if (command === "-d") {
      const target = [...this.servers.get(service)!].find((known) => known.startsWith(line.replace("-d", "-a")));
      assert.ok(target !== undefined, `${line}: no such destination`);
      this.servers.get(service)!.delete(target);
    }
  }

  #ipset(line: string): void {
    const [command, name = "", entry = ""] = line.split(" ");
    if (command === "create") this.sets.set(name, this.sets.get(name) ?? new Set());
    else if (command === "add") this.sets.get(name)!.add(entry);
    else this.sets.get(name)!.delete(entry);
  }
}

describe("the proxier and what the kernel holds", () => {
  const start = () => {
    const kernel = new Kernel();
    return {
      kernel,
      proxier: new IpvsProxier({ family: "IPv4", config, runner: kernel, log: silentLogger, scheduler: "rr" }),
    };
  };

  test("everything, then differences; nothing when nothing changes", async () => {
    const { kernel, proxier } = start();
    const model = modelOf({ type: "NodePort" });
    await proxier.sync(() => model.all(), undefined, signal);
    assert.deepEqual([...kernel.addresses], ["10.96.0.5"]);
    assert.equal(kernel.servers.size, 2);
    assert.equal(await proxier.verify(signal), true);
    assert.equal((await proxier.sync(() => model.all(), model.takeChanges(), signal)).bytes, 0);
    model.setSlice(slice("web", [podA]));
    await proxier.sync(() => model.all(), model.takeChanges(), signal);
    assert.deepEqual(
      [...kernel.servers.values()].map(({ size }) => size),
      [1, 1],
    );
    model.deleteService({ namespace: "default", name: "web" });
    await proxier.sync(() => model.all(), model.takeChanges(), signal);
    assert.equal(kernel.servers.size + kernel.addresses.size, 0);
    assert.equal(
      [...kernel.sets.values()].every(({ size }) => size === 0),
      true,
    );
  });

  test("interference is noticed and repaired; servers of others stay", async () => {
    const { kernel, proxier } = start();
    const model = modelOf({ type: "NodePort" });
    kernel.servers.set("-A -t 192.0.2.77:80 -s wlc", new Set());
    await proxier.sync(() => model.all(), undefined, signal);
    kernel.servers.delete("-A -t 10.96.0.5:80 -s rr");
    assert.equal(await proxier.verify(signal), false);
    await proxier.sync(() => model.all(), undefined, signal);
    assert.equal(await proxier.verify(signal), true);
    kernel.sets.get("KUBE-CLUSTER-IP")!.clear();
    assert.equal(await proxier.verify(signal), false);
    await proxier.sync(() => model.all(), undefined, signal);
    assert.equal(await proxier.verify(signal), true);
    assert.equal(kernel.servers.has("-A -t 192.0.2.77:80 -s wlc"), true);
  });

  test("a new life takes over what the former one left, and removes what nobody wants any more", async () => {
    const { kernel, proxier } = start();
    await proxier.sync(() => modelOf({ type: "NodePort" }).all(), undefined, signal);
    const next = new IpvsProxier({ family: "IPv4", config, runner: kernel, log: silentLogger, scheduler: "rr" });
    await next.sync(() => new Map(), undefined, signal);
    assert.equal(kernel.servers.size + kernel.addresses.size, 0);
  });
});

test("the kernel takes the sets, their entries and the rules that look into them", async () => {
  const real = new SpawnRunner();
  const name = `kpv-${process.pid}`;
  await real.run("ip", ["netns", "add", name]);
  try {
    const inside = (file: string, args: string[], stdin = "") =>
      real.run("nsenter", [`--net=/run/netns/${name}`, file, ...args], { stdin });
    const spec = { type: "LoadBalancer", externalTrafficPolicy: "Local", loadBalancerSourceRanges: ["192.0.2.0/24"] };
    const { sets } = stateOf({ ...spec, healthCheckNodePort: 31_999 }, ["203.0.113.9"]);
    await inside("ipset", ["restore", "-exist"], setDefinitions("IPv4") + setDifference(new Map(), sets));
    assert.deepEqual(parseSets((await inside("ipset", ["save"])).stdout, "IPv4"), new Map(sets));
    let text = "";
    for (const [table, chains] of Object.entries(ipvsRules("IPv4", config))) {
      text += `*${table}\n${[...chains.keys()].map((chain) => `:${chain} - [0:0]\n`).join("")}`;
      for (const [chain, rules] of chains) text += rules.map((rule) => `-A ${chain} ${rule}\n`).join("");
      text += "COMMIT\n";
    }
    await inside("iptables-restore", ["--noflush"], text);
    assert.match((await inside("iptables-save", [])).stdout, /--match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE/);
  } finally {
    await real.run("ip", ["netns", "del", name]);
  }
});
