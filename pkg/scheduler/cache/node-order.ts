import type { NodeInfo } from "./node-info.ts";
import { labelOf } from "./selectors.ts";

/** Nodes with the zones taking turns, so that a search that stops early has seen all zones. */
export class NodeOrder {
  readonly #zones = new Map<string, Set<NodeInfo>>();
  readonly #zoneOf = new Map<NodeInfo, string>();
  #list: NodeInfo[] | undefined;

  add(node: NodeInfo): void {
    const zone = zoneOf(node);
    let members = this.#zones.get(zone);
    if (members === undefined) this.#zones.set(zone, (members = new Set()));
    members.add(node);
    this.#zoneOf.set(node, zone);
    this.#list = undefined;
  }
  remove(node: NodeInfo): void {
    const zone = this.#zoneOf.get(node);
    if (zone === undefined) return;
    this.#zoneOf.delete(node);
    const members = this.#zones.get(zone)!;
    members.delete(node);
    if (members.size === 0) this.#zones.delete(zone);
    this.#list = undefined;
  }
  update(node: NodeInfo): void {
    if (this.#zoneOf.get(node) === zoneOf(node)) return;
    this.remove(node);
    this.add(node);
  }
  list(): readonly NodeInfo[] {
    this.#list ??= this.#interleave();
    return this.#list;
  }

  #interleave(): NodeInfo[] {
    const list: NodeInfo[] = [];
    let queues = [...this.#zones.values()].map((members) => members.values());
    while (queues.length > 0) {
      queues = queues.filter((queue) => {
        const { done, value } = queue.next();
        if (done !== true) list.push(value);
        return done !== true;
      });
    }
    return list;
  }
}

function zoneOf({ labels }: NodeInfo): string {
  const region = labelOf(labels, "topology.kubernetes.io/region") ?? "";
  const zone = labelOf(labels, "topology.kubernetes.io/zone") ?? "";
  return `${region}:\u0000:${zone}`;
}
