import { randomBytes, randomFillSync } from "node:crypto";

/** Randomness as an explicit dependency, so that a simulated cluster replays from one seed. */
export interface Random {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform integer in [0, bound). */
  int(bound: number): number;
  /** RFC 4122 version 4. */
  uuid(): string;
  /** `length` characters of upstream's generateName alphabet (no vowels, no 0, 1, 3). */
  suffix(length: number): string;
}

const SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function uuidFrom(bytes: Uint8Array): string {
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  let text = "";
  for (let i = 0; i < 16; i++) {
    text += HEX[bytes[i]!];
    if (i === 3 || i === 5 || i === 7 || i === 9) text += "-";
  }
  return text;
}

abstract class BaseRandom implements Random {
  abstract float(): number;
  abstract uuid(): string;
  int(bound: number): number {
    return Math.floor(this.float() * bound);
  }
  suffix(length: number): string {
    let text = "";
    for (let i = 0; i < length; i++) text += SUFFIX_ALPHABET[this.int(SUFFIX_ALPHABET.length)];
    return text;
  }
}

/** Backed by the operating system's generator; bytes are drawn in blocks. */
export class SecureRandom extends BaseRandom {
  readonly #pool = randomBytes(4096);
  #used = 0;

  #take(count: number): Uint8Array {
    if (this.#used + count > this.#pool.length) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    this.#used += count;
    return this.#pool.subarray(this.#used - count, this.#used);
  }
  float(): number {
    const b = this.#take(6);
    return (((b[0]! << 16) | (b[1]! << 8) | b[2]!) * 2 ** 24 + ((b[3]! << 16) | (b[4]! << 8) | b[5]!)) / 2 ** 48;
  }
  uuid(): string {
    return uuidFrom(this.#take(16));
  }
}

/** mulberry32: small, fast, and the same sequence for the same seed on every machine. Not for secrets. */
export class SeededRandom extends BaseRandom {
  #state: number;

  constructor(seed: number) {
    super();
    this.#state = seed >>> 0;
  }
  float(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  uuid(): string {
    return uuidFrom(Uint8Array.from({ length: 16 }, () => this.int(256)));
  }
}
