import type { Service } from "#pkg/api/types/core-v1.ts";
import type { IPAddress } from "#pkg/api/types/networking-v1.ts";
import type { ResourceCache } from "#pkg/storage/cacher/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import { AllocationError, type ClusterIps, MANAGED_BY, MANAGED_BY_LABEL, type ServiceKey } from "./cluster-ips.ts";
import type { NodePorts } from "./node-ports.ts";
import { holdings } from "./service-allocator.ts";

/** Younger reservations may belong to a request that is still under way. */
const GRACE_MS = 60_000;

export interface RepairDeps {
  readonly services: ResourceCache;
  readonly addressObjects: ResourceCache;
  readonly addresses: ClusterIps;
  readonly ports: NodePorts;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Brings reservations and Services together again after a crash between the two writes: what a Service has is
 * reserved, what nobody has is given back. Idempotent.
 */
export async function repairAllocations(deps: RepairDeps): Promise<void> {
  const { services, addressObjects, addresses, ports, clock, log } = deps;
  const { entries } = await services.list({});
  const used = new Map<string, ServiceKey>();
  for (const { namespace, name, object } of entries) {
    const { addresses: ips, ports: numbers } = holdings((object as unknown as Service).spec);
    for (const address of ips) used.set(address, { namespace, name });
    for (const port of numbers) used.set(`port ${port}`, { namespace, name });
  }
  const oldest = clock.now() - GRACE_MS;
  const reserved = new Set<string>();
  for (const { name, object } of (await addressObjects.list({})).entries) {
    reserved.add(name);
    const { metadata, spec } = object as unknown as IPAddress;
    if (metadata?.labels?.[MANAGED_BY_LABEL] !== MANAGED_BY || used.has(name)) continue;
    if (Date.parse(metadata.creationTimestamp ?? "") > oldest) continue;
    log.warn({ address: name }, "Released a cluster address that no Service has");
    await addresses.release(name, { namespace: spec?.parentRef?.namespace ?? "", name: spec?.parentRef?.name ?? "" });
  }
  for (const { port, owner, since } of await ports.all()) {
    reserved.add(`port ${port}`);
    if (used.has(`port ${port}`) || since > oldest) continue;
    log.warn({ port }, "Released a node port that no Service has");
    await ports.release(port, owner);
  }
  for (const [what, owner] of used) {
    if (reserved.has(what)) continue;
    try {
      if (what.startsWith("port ")) await ports.take(Number(what.slice(5)), owner, false);
      else await addresses.take(what, owner, false);
      log.warn({ what, ...owner }, "Reserved what a Service has");
    } catch (error) {
      if (!(error instanceof AllocationError)) throw error;
      log.warn({ what, ...owner, reason: error.message }, "A Service has what it cannot have");
    }
  }
}
