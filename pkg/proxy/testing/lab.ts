import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { SpawnRunner } from "#pkg/util/index.ts";
import type { Command } from "./agent.ts";

const runner = new SpawnRunner();

/** A network namespace with an agent in it. */
class Place {
  readonly namespace: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #next = 0;

  constructor(namespace: string) {
    this.namespace = namespace;
    const agent = join(import.meta.dirname, "agent.ts");
    this.#child = spawn("nsenter", [`--net=/run/netns/${namespace}`, process.execPath, agent], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      const { id, result, error } = JSON.parse(line) as { id: number; result?: unknown; error?: string };
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    this.#child.on("exit", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the agent in ${namespace} ended`));
    });
  }

  do<T = unknown>(command: Command): Promise<T> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#child.stdin!.write(`${JSON.stringify({ id, command })}\n`);
    });
  }

  tcp(
    host: string,
    port: number,
    options: { timeoutMs?: number; from?: { ip?: string; port?: number } } = {},
  ): Promise<string> {
    return this.do({ op: "tcp", host, port, ...options });
  }

  udp(
    host: string,
    port: number,
    options: { timeoutMs?: number; from?: { ip?: string; port?: number } } = {},
  ): Promise<string> {
    return this.do({ op: "udp", host, port, ...options });
  }

  /** TCP connections per second to there, one after the other. */
  rate(host: string, port: number, seconds: number): Promise<number> {
    return this.do({ op: "rate", host, port, seconds });
  }

  async run(file: string, ...args: string[]): Promise<string> {
    const result = await this.do<{ exitCode: number; stdout: string; stderr: string }>({ op: "run", file, args });
    if (result.exitCode !== 0) throw new Error(`${[file, ...args].join(" ")}: ${result.stderr}`);
    return result.stdout;
  }

  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#child.on("exit", () => resolve());
      this.#child.stdin!.end();
    });
  }
}

const ip = (...args: string[]) => runner.run("ip", args);

/**
 * A node with two pods, another node with one pod, and a machine outside the cluster, each a network namespace:
 *
 *   outside 172.31.1.9 ── 172.31.1.1 node 172.31.2.1 ── 172.31.2.2 remote (pod 10.244.1.2)
 *                                     │ cni0 10.244.0.1
 *                            pod-a 10.244.0.2, pod-b 10.244.0.3
 *
 * IPv6 addresses are the same with fd00:1::, fd00:2:: and fd00:244:. Every pod answers on 8080 with its name and the
 * source address that it sees.
 */
export class PacketLab {
  readonly #prefix: string;
  readonly #places = new Map<string, Place>();

  private constructor(prefix: string) {
    this.#prefix = prefix;
  }

  static async create(): Promise<PacketLab> {
    const lab = new PacketLab(`kpx-${process.pid}-${Math.random().toString(36).slice(2, 6)}`);
    try {
      await lab.#build();
      return lab;
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  #place(name: string): Place {
    return this.#places.get(name)!;
  }
  get node(): Place {
    return this.#place("node");
  }
  get podA(): Place {
    return this.#place("pod-a");
  }
  get podB(): Place {
    return this.#place("pod-b");
  }
  get remote(): Place {
    return this.#place("remote");
  }
  get outside(): Place {
    return this.#place("outside");
  }

  async #build(): Promise<void> {
    const names = ["node", "pod-a", "pod-b", "remote", "outside"];
    const namespace = (name: string) => `${this.#prefix}-${name}`;
    await Promise.all(
      names.map(async (name) => {
        await ip("netns", "add", namespace(name));
        await ip("-n", namespace(name), "link", "set", "lo", "up");
      }),
    );
    const node = namespace("node");
    const wire = async (name: string, device: string) => {
      await ip("-n", node, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", namespace(name));
      await ip("-n", node, "link", "set", device, "up");
      await ip("-n", namespace(name), "link", "set", "eth0", "up");
    };
    const addresses = async (name: string, device: string, ...list: string[]) => {
      for (const address of list)
        await ip(
          "-n",
          namespace(name),
          "address",
          "add",
          address,
          "dev",
          device,
          ...(address.includes(":") ? ["nodad"] : []),
        );
    };
    const route = (name: string, ...args: string[]) => ip("-n", namespace(name), "route", "add", ...args);
    await ip("-n", node, "link", "add", "cni0", "type", "bridge");
    await ip("-n", node, "link", "set", "cni0", "up");
    await addresses("node", "cni0", "10.244.0.1/24", "fd00:244::1/64");
    for (const [index, pod] of ["pod-a", "pod-b"].entries()) {
      await wire(pod, `veth${index}`);
      // "hairpin on" lets a pod's packets return to it through the bridge.
      await ip("-n", node, "link", "set", `veth${index}`, "master", "cni0");
      await ip("-n", node, "link", "set", `veth${index}`, "type", "bridge_slave", "hairpin", "on");
      await addresses(pod, "eth0", `10.244.0.${index + 2}/24`, `fd00:244::${index + 2}/64`);
      await route(pod, "default", "via", "10.244.0.1");
      await route(pod, "default", "via", "fd00:244::1");
    }
    await wire("outside", "ext0");
    await addresses("node", "ext0", "172.31.1.1/24", "fd00:1::1/64");
    await addresses("outside", "eth0", "172.31.1.9/24", "fd00:1::9/64");
    await route("outside", "default", "via", "172.31.1.1");
    await route("outside", "default", "via", "fd00:1::1");
    await route("node", "default", "via", "172.31.1.9");
    await route("node", "default", "via", "fd00:1::9");
    await wire("remote", "ext1");
    await addresses("node", "ext1", "172.31.2.1/24", "fd00:2::1/64");
    await addresses("remote", "eth0", "172.31.2.2/24", "fd00:2::2/64");
    await addresses("remote", "lo", "10.244.1.2/32", "fd00:244:0:1::2/128");
    await route("remote", "default", "via", "172.31.2.1");
    await route("remote", "default", "via", "fd00:2::1");
    await route("node", "10.244.1.0/24", "via", "172.31.2.2");
    await route("node", "fd00:244:0:1::/64", "via", "fd00:2::2");
    for (const name of names) this.#places.set(name, new Place(namespace(name)));
    for (const setting of [
      "net.ipv4.ip_forward=1",
      "net.ipv6.conf.all.forwarding=1",
      "net.bridge.bridge-nf-call-iptables=1",
      "net.bridge.bridge-nf-call-ip6tables=1",
    ])
      await this.node.run("sysctl", "-q", "-w", setting);
    const listen = (place: Place, name: string, ...hosts: string[]) =>
      Promise.all(
        hosts.flatMap((address) =>
          (["TCP", "UDP"] as const).map((protocol) => place.do({ op: "listen", protocol, port: 8080, name, address })),
        ),
      );
    await listen(this.podA, "pod-a", "::");
    await listen(this.podB, "pod-b", "::");
    // Bound to the pod's address: answers from a wildcard socket would carry the address of the wire.
    await listen(this.remote, "remote", "10.244.1.2", "fd00:244:0:1::2");
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#places.values()].map((place) => place.end()));
    const { stdout } = await ip("netns", "list");
    for (const line of stdout.split("\n")) {
      const name = line.split(" ")[0]!;
      if (name.startsWith(`${this.#prefix}-`)) await ip("netns", "del", name);
    }
  }
}

/** Polls until `probe` answers `expected` (a text, or what a pattern matches). */
export async function becomes(
  probe: () => Promise<string>,
  expected: string | RegExp,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (typeof expected === "string" ? value === expected : expected.test(value)) return;
    if (Date.now() > deadline) throw new Error(`expected ${String(expected)}, still ${value} after ${timeoutMs} ms`);
    await delay(20);
  }
}

/** How often each answer (its first word) comes in `count` tries. */
export async function tally(count: number, probe: () => Promise<string>): Promise<Record<string, number>> {
  const seen: Record<string, number> = {};
  for (let index = 0; index < count; index++) {
    const name = (await probe()).split(" ")[0]!;
    seen[name] = (seen[name] ?? 0) + 1;
  }
  return seen;
}
