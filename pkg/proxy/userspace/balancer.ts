import { LRUCache } from "lru-cache";
import type { Clock } from "#pkg/util/index.ts";
import { destination } from "../iptables/names.ts";
import type { ProxyEndpoint } from "../model/types.ts";

/** Clients remembered per service port; the least recent ones lose their affinity first. */
const MAX_CLIENTS = 10_000;

/** Chooses endpoints in turn; clients stay with theirs for `affinitySeconds` after their last connection. */
export class Balancer {
  readonly #clock: Clock;
  /** Made when it is first needed: its memory is taken at once, and few services have affinity. */
  #clients: LRUCache<string, { endpoint: string; until: number }> | undefined;
  #endpoints: readonly ProxyEndpoint[] = [];
  #affinitySeconds = 0;
  #next = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  update(endpoints: readonly ProxyEndpoint[], affinitySeconds: number): void {
    this.#endpoints = endpoints;
    this.#affinitySeconds = affinitySeconds;
  }

  has(endpoint: ProxyEndpoint): boolean {
    return this.#endpoints.some(({ ip, port }) => ip === endpoint.ip && port === endpoint.port);
  }

  /** All endpoints in the order in which `client` should try them. */
  choose(client: string): ProxyEndpoint[] {
    const count = this.#endpoints.length;
    if (count === 0) return [];
    const start = this.#next++ % count;
    const order = Array.from({ length: count }, (_, index) => this.#endpoints[(start + index) % count]!);
    const known = this.#affinitySeconds === 0 ? undefined : this.#clients?.get(client);
    if (known === undefined || known.until < this.#clock.now()) return order;
    const mine = order.find((endpoint) => destination(endpoint) === known.endpoint);
    return mine === undefined ? order : [mine, ...order.filter((endpoint) => endpoint !== mine)];
  }

  /** Ties `client` to the endpoint that took its connection. */
  remember(client: string, endpoint: ProxyEndpoint): void {
    if (this.#affinitySeconds === 0) return;
    const until = this.#clock.now() + this.#affinitySeconds * 1000;
    this.#clients ??= new LRUCache({ max: MAX_CLIENTS });
    this.#clients.set(client, { endpoint: destination(endpoint), until });
  }
}
