import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import type { Resources } from "../cache/resources.ts";

/** A resource that scoring goes by, and how much it counts. */
export interface ScoredResource {
  readonly name: string;
  readonly weight: number;
}

const CPU = 0;
const MEMORY = 1;
const EPHEMERAL_STORAGE = 2;
const SCALAR = 3;
const KINDS: Readonly<Record<string, number>> = { cpu: CPU, memory: MEMORY, "ephemeral-storage": EPHEMERAL_STORAGE };

/** A resource to score by, with its name looked up once: scoring asks for every node. */
export class ScoredAmount {
  readonly weight: number;
  readonly isExtended: boolean;
  readonly #name: string;
  readonly #kind: number;

  constructor({ name, weight }: ScoredResource) {
    this.#name = name;
    this.weight = weight;
    this.#kind = KINDS[name] ?? SCALAR;
    this.isExtended = this.#kind === SCALAR;
  }
  of(resources: Resources): number {
    switch (this.#kind) {
      case CPU:
        return resources.milliCpu;
      case MEMORY:
        return resources.memory;
      case EPHEMERAL_STORAGE:
        return resources.ephemeralStorage;
      default:
        return resources.scalars?.get(this.#name) ?? 0;
    }
  }
  /** What would be requested with the pod there, containers without requests counting as the defaults. */
  requested(pod: PodInfo, node: NodeInfo): number {
    switch (this.#kind) {
      case CPU:
        return node.nonZeroMilliCpu + pod.nonZeroMilliCpu;
      case MEMORY:
        return node.nonZeroMemory + pod.nonZeroMemory;
      default:
        return this.of(node.requested) + this.of(pod.requests);
    }
  }
}

/** All that a plugin may ask of a pod's resources, as plain data. */
export function resourcesOf({ requests, nonZeroMilliCpu, nonZeroMemory }: PodInfo): unknown {
  const { milliCpu, memory, ephemeralStorage, scalars } = requests;
  return [milliCpu, memory, ephemeralStorage, [...(scalars ?? [])], nonZeroMilliCpu, nonZeroMemory];
}
