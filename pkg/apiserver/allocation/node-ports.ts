import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { ResourceCache } from "#pkg/storage/cacher/index.ts";
import { KeyExistsError, RevisionConflictError } from "#pkg/storage/cacher/index.ts";
import { type Clock, formatTime, type Random } from "#pkg/util/index.ts";
import { AllocationError, type ServiceKey } from "./cluster-ips.ts";
import { allocationOrder } from "./ip-range.ts";

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Prefix of the records of ports in use, one per port, so that the store refuses a second owner. */
export const NODE_PORTS_PREFIX = "ranges/servicenodeports";

const MIN_STATIC = 16;
const MAX_STATIC = 128;
const STATIC_SHARE = 32;

/** Node ports of Services. */
export class NodePorts {
  readonly #records: ResourceCache;
  readonly #range: PortRange;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(deps: { records: ResourceCache; range: PortRange; clock: Clock; random: Random }) {
    this.#records = deps.records;
    this.#range = deps.range;
    this.#clock = deps.clock;
    this.#random = deps.random;
  }
  /** Takes one particular port. @throws AllocationError */
  async take(port: number, owner: ServiceKey, dryRun: boolean): Promise<void> {
    const { first, last } = this.#range;
    if (port < first || port > last) {
      throw new AllocationError(
        `provided port is not in the valid range. The range of valid ports is ${first}-${last}`,
      );
    }
    const free = dryRun ? (await this.#records.get("", String(port))) === undefined : await this.#create(port, owner);
    if (!free) throw new AllocationError("provided port is already allocated");
  }
  /** Takes any free port, from the upper part of the range while there is one (KEP-3668). @throws AllocationError */
  async takeAny(owner: ServiceKey, dryRun: boolean): Promise<number> {
    const { first, last } = this.#range;
    const size = last - first + 1;
    const share = Math.floor(size / STATIC_SHARE);
    const band = size <= MIN_STATIC ? 0 : Math.min(Math.max(MIN_STATIC, share), MAX_STATIC);
    for (const offset of allocationOrder(size, band, this.#random.int(size - band))) {
      const port = first + offset;
      if (this.#records.peek("", String(port)) !== undefined) continue;
      if (dryRun || (await this.#create(port, owner))) return port;
    }
    throw new AllocationError("range is full");
  }
  /** Gives a port back, if it is the owner's. */
  async release(port: number, owner: ServiceKey): Promise<void> {
    for (;;) {
      const entry = await this.#records.get("", String(port));
      if (entry === undefined || !isOwner(entry.object, owner)) return;
      try {
        await this.#records.delete(entry);
        return;
      } catch (error) {
        if (!(error instanceof RevisionConflictError)) throw error;
      }
    }
  }
  /** Every port in use with its owner and since when. */
  async all(): Promise<{ port: number; owner: ServiceKey; since: number }[]> {
    const { entries } = await this.#records.list({});
    return entries.map(({ object }) => ({
      port: Number(object.metadata.name),
      owner: object["service"] as ServiceKey,
      since: Date.parse(object.metadata.creationTimestamp ?? ""),
    }));
  }

  async #create(port: number, owner: ServiceKey): Promise<boolean> {
    const object: KubeObject = {
      apiVersion: "kubits.dev/v1",
      kind: "NodePort",
      metadata: { name: String(port), creationTimestamp: formatTime(this.#clock.now()) },
      service: { namespace: owner.namespace, name: owner.name },
    };
    try {
      await this.#records.create(object);
      return true;
    } catch (error) {
      if (error instanceof KeyExistsError) return false;
      throw error;
    }
  }
}

function isOwner(object: Readonly<KubeObject>, { namespace, name }: ServiceKey): boolean {
  const service = object["service"] as ServiceKey | undefined;
  return service?.namespace === namespace && service.name === name;
}
