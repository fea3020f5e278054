import { type Cidr, formatCidr, overlaps, parseCidr } from "./cidr.ts";

/** More subnets than this are never looked through. */
const MAX_SUBNETS = 1n << 16n;

/** Hands out equal subnets of one network, each to one node. */
export class CidrAllocator {
  readonly network: Cidr;
  readonly #prefix: number;
  readonly #count: bigint;
  readonly #reserved: readonly Cidr[];
  readonly #taken = new Set<string>();
  #next = 0n;
  /** The last search found nothing, and nothing was given back since: thousands of nodes without a subnet ask again and again. */
  #isExhausted = false;

  /** @throws Error when the subnets would be larger than the network, or too many. */
  constructor(network: string, prefix: number, reserved: readonly string[]) {
    this.network = parseCidr(network);
    this.#prefix = prefix;
    const width = prefix - this.network.prefix;
    if (width < 0 || prefix > this.network.bits) throw new Error(`subnets of /${prefix} do not fit into ${network}`);
    if (1n << BigInt(width) > MAX_SUBNETS) throw new Error(`${network} has too many subnets of /${prefix}`);
    this.#count = 1n << BigInt(width);
    this.#reserved = reserved.map(parseCidr).filter(({ bits }) => bits === this.network.bits);
  }
  get bits(): 32 | 128 {
    return this.network.bits;
  }
  /** Marks what a node has already. Networks that are not ours are ignored. */
  occupy(cidr: string): void {
    const parsed = parseCidr(cidr);
    if (overlaps(parsed, this.network)) this.#taken.add(formatCidr(parsed));
  }
  release(cidr: string): void {
    if (this.#taken.delete(formatCidr(parseCidr(cidr)))) this.#isExhausted = false;
  }
  /** Takes back what `allocate` gave and nobody used: the next one again, so that the nodes' numbers have no gaps. */
  takeBack(cidr: string): void {
    this.release(cidr);
    const index = (parseCidr(cidr).base - this.network.base) >> BigInt(this.network.bits - this.#prefix);
    if ((index + 1n) % this.#count === this.#next) this.#next = index;
  }
  /** The next free subnet, going round; undefined when none is left. */
  allocate(): string | undefined {
    if (this.#isExhausted) return undefined;
    const size = BigInt(this.network.bits - this.#prefix);
    for (let tried = 0n; tried < this.#count; tried++) {
      const index = (this.#next + tried) % this.#count;
      const subnet: Cidr = { base: this.network.base + (index << size), prefix: this.#prefix, bits: this.network.bits };
      const text = formatCidr(subnet);
      if (this.#taken.has(text) || this.#reserved.some((reserved) => overlaps(reserved, subnet))) continue;
      this.#taken.add(text);
      this.#next = (index + 1n) % this.#count;
      return text;
    }
    this.#isExhausted = true;
    return undefined;
  }
}
