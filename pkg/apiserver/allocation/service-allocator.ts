import type { Service, ServiceSpec } from "#pkg/api/types/core-v1.ts";
import { fieldInvalid, internalError, invalid, type KubeObject } from "#pkg/apimachinery/index.ts";
import type { Allocator } from "../registry/call.ts";
import { AllocationError, type ClusterIps, type ServiceKey } from "./cluster-ips.ts";
import { HEADLESS, settleFamilies } from "./families.ts";
import type { IpFamily } from "./ip-range.ts";
import type { NodePorts } from "./node-ports.ts";

/** What a Service holds of the shared pools. */
interface Holdings {
  readonly addresses: readonly string[];
  readonly ports: readonly number[];
}

/** Gives Services their cluster addresses and node ports on create and update, and takes them back. */
export class ServiceAllocator implements Allocator {
  readonly #addresses: ClusterIps;
  readonly #ports: NodePorts;
  /** Families of the cluster's service ranges, the primary one first. */
  readonly #families: readonly IpFamily[];

  constructor(deps: { addresses: ClusterIps; ports: NodePorts; families: readonly IpFamily[] }) {
    this.#addresses = deps.addresses;
    this.#ports = deps.ports;
    this.#families = deps.families;
  }

  async reserve(
    object: KubeObject,
    old: Readonly<KubeObject> | undefined,
    dryRun: boolean,
  ): Promise<{ commit(): Promise<void>; rollback(): Promise<void> }> {
    const spec = ((object as unknown as Service).spec ??= {});
    const before = (old as unknown as Service | undefined)?.spec;
    const owner = keyOf(object);
    const had = holdings(before);
    const taken: { addresses: string[]; ports: number[] } = { addresses: [], ports: [] };
    const rollback = async (): Promise<void> => {
      if (dryRun) return;
      for (const address of taken.addresses) await this.#addresses.release(address, owner);
      for (const port of taken.ports) await this.#ports.release(port, owner);
    };
    try {
      const errors = settleFamilies(spec, before, this.#families);
      if (errors.length > 0) throw invalid({ group: "", kind: "Service" }, owner.name, errors);
      await this.#takeAddresses(spec, before, owner, dryRun, taken.addresses);
      await this.#takePorts(spec, before, owner, dryRun, taken.ports);
    } catch (error) {
      await rollback();
      throw error;
    }
    return { rollback, commit: () => this.#releaseUnused(had, holdings(spec), owner) };
  }
  async released(object: Readonly<KubeObject>): Promise<void> {
    await this.#releaseUnused(
      holdings((object as unknown as Service).spec),
      { addresses: [], ports: [] },
      keyOf(object),
    );
  }

  async #releaseUnused(had: Holdings, has: Holdings, owner: ServiceKey): Promise<void> {
    for (const address of had.addresses) {
      if (!has.addresses.includes(address)) await this.#addresses.release(address, owner);
    }
    for (const port of had.ports) if (!has.ports.includes(port)) await this.#ports.release(port, owner);
  }

  async #takeAddresses(
    spec: ServiceSpec,
    before: Readonly<ServiceSpec> | undefined,
    owner: ServiceKey,
    dryRun: boolean,
    taken: string[],
  ): Promise<void> {
    if (spec.type === "ExternalName") return;
    // What there was may not change, which is for validation to say; a second family may come.
    const had = before === undefined || before.type === "ExternalName" ? [] : (before.clusterIPs ?? []);
    if (had[0] === HEADLESS) return;
    if (spec.clusterIPs?.[0] === HEADLESS) {
      spec.clusterIP = HEADLESS;
      return;
    }
    const addresses = [...(spec.clusterIPs ?? [])];
    for (const [index, family] of (spec.ipFamilies ?? []).entries()) {
      if (index < had.length) continue;
      const wanted = addresses[index] ?? "";
      try {
        if (wanted === "") addresses[index] = await this.#addresses.takeAny(family as IpFamily, owner, dryRun);
        else await this.#addresses.take(wanted, owner, dryRun);
      } catch (error) {
        if (!(error instanceof AllocationError)) throw error;
        if (wanted === "") throw internalError(`failed to allocate a serviceIP: ${error.message}`);
        const field = fieldInvalid("spec.clusterIPs", addresses, `failed to allocate IP ${wanted}: ${error.message}`);
        throw invalid({ group: "", kind: "Service" }, owner.name, [field]);
      }
      taken.push(addresses[index]!);
    }
    spec.clusterIPs = addresses;
    spec.clusterIP = addresses[0];
  }

  async #takePorts(
    spec: ServiceSpec,
    before: Readonly<ServiceSpec> | undefined,
    owner: ServiceKey,
    dryRun: boolean,
    taken: number[],
  ): Promise<void> {
    const holds = new Set(holdings(before).ports);
    const take = async (port: number, refusal: (why: string) => Error): Promise<void> => {
      if (holds.has(port)) return;
      try {
        await this.#ports.take(port, owner, dryRun);
        holds.add(port);
        taken.push(port);
      } catch (error) {
        throw error instanceof AllocationError ? refusal(error.message) : error;
      }
    };
    const takeAny = async (what: string): Promise<number> => {
      try {
        const port = await this.#ports.takeAny(owner, dryRun);
        taken.push(port);
        holds.add(port);
        return port;
      } catch (error) {
        if (error instanceof AllocationError) throw internalError(`failed to allocate a ${what}: ${error.message}`);
        throw error;
      }
    };
    if (needsNodePorts(spec)) {
      // Chosen ones first, so that none of them is handed out by chance.
      for (const [index, { nodePort }] of (spec.ports ?? []).entries()) {
        if (!nodePort) continue;
        await take(nodePort, (why) =>
          invalid({ group: "", kind: "Service" }, owner.name, [
            fieldInvalid(`spec.ports[${index}].nodePort`, nodePort, why),
          ]),
        );
      }
      if (givesNodePorts(spec)) await fillNodePorts(spec, () => takeAny("nodePort"));
    }
    if (needsHealthCheckPort(spec) && !(before !== undefined && needsHealthCheckPort(before))) {
      const wanted = spec.healthCheckNodePort;
      if (!wanted) spec.healthCheckNodePort = await takeAny("HealthCheck NodePort 0");
      else {
        await take(wanted, (why) =>
          internalError(`failed to allocate requested HealthCheck NodePort ${wanted}: ${why}`),
        );
      }
    }
  }
}

/** Ports without a node port get one; the same port under two protocols (DNS) gets the same one. */
async function fillNodePorts(spec: ServiceSpec, takeAny: () => Promise<number>): Promise<void> {
  const used = new Set((spec.ports ?? []).map(({ protocol, nodePort }) => `${protocol}/${nodePort ?? 0}`));
  const byPort = new Map<number, number>();
  for (const { port, nodePort } of spec.ports ?? []) if (nodePort) byPort.set(port, nodePort);
  for (const port of spec.ports ?? []) {
    if (port.nodePort) continue;
    const sibling = byPort.get(port.port);
    const shared = sibling !== undefined && !used.has(`${port.protocol}/${sibling}`);
    port.nodePort = shared ? sibling : await takeAny();
    byPort.set(port.port, port.nodePort);
    used.add(`${port.protocol}/${port.nodePort}`);
  }
}

function needsNodePorts({ type }: ServiceSpec): boolean {
  return type === "NodePort" || type === "LoadBalancer";
}

/** A load balancer that is to be given none has those only that it names. */
function givesNodePorts({ type, allocateLoadBalancerNodePorts }: ServiceSpec): boolean {
  return type === "NodePort" || allocateLoadBalancerNodePorts !== false;
}

function needsHealthCheckPort({ type, externalTrafficPolicy }: ServiceSpec): boolean {
  return type === "LoadBalancer" && externalTrafficPolicy === "Local";
}

function keyOf({ metadata }: Readonly<KubeObject>): ServiceKey {
  return { namespace: metadata.namespace ?? "", name: metadata.name ?? "" };
}

/** What a stored Service has taken from the pools. */
export function holdings(spec: Readonly<ServiceSpec> | undefined): Holdings {
  if (spec === undefined || spec.type === "ExternalName") return { addresses: [], ports: [] };
  const ports = (spec.ports ?? []).map(({ nodePort }) => nodePort ?? 0);
  return {
    addresses: (spec.clusterIPs ?? []).filter((address) => address !== HEADLESS && address !== ""),
    ports: [...new Set([...ports, spec.healthCheckNodePort ?? 0])].filter((port) => port !== 0),
  };
}
