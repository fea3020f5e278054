import type { IPAddress, ServiceCIDR } from "#pkg/api/types/networking-v1.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { ResourceCache } from "#pkg/storage/cacher/index.ts";
import { KeyExistsError, RevisionConflictError } from "#pkg/storage/cacher/index.ts";
import { type Clock, formatTime, type Random } from "#pkg/util/index.ts";
import { allocationOrder, familyOf, type IpFamily, IpRange } from "./ip-range.ts";

/** Why an address is not to be had; the text goes into the field error. */
export class AllocationError extends Error {}

export interface ServiceKey {
  readonly namespace: string;
  readonly name: string;
}

const FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family";
export const MANAGED_BY_LABEL = "ipaddress.kubernetes.io/managed-by";
export const MANAGED_BY = "ipallocator.k8s.io";

/**
 * Addresses of Services. Each one in use is an IPAddress object named after it, so that the store itself refuses a
 * second owner, whichever API server asks; the ranges are the ServiceCIDR objects that are ready (KEP-1880).
 */
export class ClusterIps {
  readonly #addresses: ResourceCache;
  readonly #cidrs: ResourceCache;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(deps: { addresses: ResourceCache; cidrs: ResourceCache; clock: Clock; random: Random }) {
    this.#addresses = deps.addresses;
    this.#cidrs = deps.cidrs;
    this.#clock = deps.clock;
    this.#random = deps.random;
  }
  /** Takes one particular address. @throws AllocationError */
  async take(address: string, owner: ServiceKey, dryRun: boolean): Promise<void> {
    const ranges = await this.ranges(familyOf(address));
    if (!ranges.some((range) => range.contains(address))) {
      const valid = ranges.map(({ cidr }) => cidr).join(", ");
      throw new AllocationError(
        `the provided IP (${address}) is not in the valid range. The range of valid IPs is ${valid}`,
      );
    }
    const free = dryRun ? (await this.#addresses.get("", address)) === undefined : await this.#create(address, owner);
    if (!free) throw new AllocationError("provided IP is already allocated");
  }
  /** Takes any free address of the family. @throws AllocationError */
  async takeAny(family: IpFamily, owner: ServiceKey, dryRun: boolean): Promise<string> {
    for (const range of await this.ranges(family)) {
      const size = Number(range.size);
      const band = Number(range.staticBand);
      const start = this.#random.int(Math.max(size - band, 1));
      for (const offset of allocationOrder(size, band, start)) {
        const address = range.at(BigInt(offset));
        if (this.#addresses.peek("", address) !== undefined) continue;
        if (dryRun || (await this.#create(address, owner))) return address;
      }
    }
    throw new AllocationError("range is full");
  }
  /** Gives an address back, if it is the owner's. */
  async release(address: string, owner: ServiceKey): Promise<void> {
    for (;;) {
      const entry = await this.#addresses.get("", address);
      if (entry === undefined) return;
      const parent = (entry.object as unknown as IPAddress).spec?.parentRef;
      if (parent?.name !== owner.name || (parent.namespace ?? "") !== owner.namespace) return;
      try {
        await this.#addresses.delete(entry);
        return;
      } catch (error) {
        if (!(error instanceof RevisionConflictError)) throw error;
      }
    }
  }
  /** Ranges that addresses may be taken from, oldest first. */
  async ranges(family: IpFamily): Promise<IpRange[]> {
    const { entries } = await this.#cidrs.list({});
    return entries
      .map(({ object }) => object as unknown as ServiceCIDR)
      .filter(isUsable)
      .sort((a, b) => compare(a.metadata?.creationTimestamp ?? "", b.metadata?.creationTimestamp ?? ""))
      .flatMap(({ spec }) => spec?.cidrs ?? [])
      .filter((cidr) => familyOf(cidr) === family)
      .map((cidr) => new IpRange(cidr));
  }

  /** False when somebody has it. */
  async #create(address: string, owner: ServiceKey): Promise<boolean> {
    const object: KubeObject = {
      apiVersion: "networking.k8s.io/v1",
      kind: "IPAddress",
      metadata: {
        name: address,
        uid: this.#random.uuid(),
        creationTimestamp: formatTime(this.#clock.now()),
        labels: { [FAMILY_LABEL]: familyOf(address), [MANAGED_BY_LABEL]: MANAGED_BY },
      },
      spec: { parentRef: { group: "", resource: "services", namespace: owner.namespace, name: owner.name } },
    };
    try {
      await this.#addresses.create(object);
      return true;
    } catch (error) {
      if (error instanceof KeyExistsError) return false;
      throw error;
    }
  }
}

/** A range without a condition counts as ready: nobody may be running who would set one. */
function isUsable({ metadata, status }: ServiceCIDR): boolean {
  if (metadata?.deletionTimestamp !== undefined) return false;
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  return ready === undefined || ready.status === "True";
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
