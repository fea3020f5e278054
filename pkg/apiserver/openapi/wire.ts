/** The wire form of gnostic's messages (google/gnostic), as far as both versions of OpenAPI have the same. */
import type { Json } from "./schemas.ts";

/** Wire bytes in the making: fields are appended in any order. */
export class Message {
  readonly #chunks: Buffer[] = [];
  #size = 0;

  #push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }
  bytes(field: number, value: Buffer): this {
    this.#push(varints((field << 3) | 2, value.length));
    this.#push(value);
    return this;
  }
  text(field: number, value: unknown): this {
    return typeof value === "string" && value !== "" ? this.bytes(field, Buffer.from(value)) : this;
  }
  texts(field: number, values: unknown): this {
    for (const value of Array.isArray(values) ? values : []) this.bytes(field, Buffer.from(String(value)));
    return this;
  }
  flag(field: number, value: unknown): this {
    if (value === true) this.#push(varints(field << 3, 1));
    return this;
  }
  integer(field: number, value: unknown): this {
    if (typeof value === "number" && value > 0) this.#push(varints(field << 3, Math.floor(value)));
    return this;
  }
  double(field: number, value: unknown): this {
    return typeof value === "number" && value !== 0 ? this.present(field, value) : this;
  }
  /** A number or a truth that is there also when it is zero or false. */
  present(field: number, value: number | boolean): this {
    if (typeof value === "boolean") {
      this.#push(varints(field << 3, value ? 1 : 0));
      return this;
    }
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.#push(varints((field << 3) | 1));
    this.#push(bytes);
    return this;
  }
  finish(): Buffer {
    return Buffer.concat(this.#chunks, this.#size);
  }
}

function varints(...values: number[]): Buffer {
  const bytes: number[] = [];
  for (let value of values) {
    while (value > 0x7f) {
      bytes.push((value & 0x7f) | 0x80);
      value = Math.floor(value / 0x80);
    }
    bytes.push(value);
  }
  return Buffer.from(bytes);
}

/** Any: JSON is YAML, and that is what readers parse. */
export function any(value: unknown): Buffer {
  return new Message().text(2, `${JSON.stringify(value)}\n`).finish();
}

export function named(name: string, value: Buffer): Buffer {
  return new Message().text(1, name).bytes(2, value).finish();
}

export function extensions(message: Message, field: number, object: Json): void {
  for (const [name, value] of Object.entries(object)) {
    if (name.startsWith("x-")) message.bytes(field, named(name, any(value)));
  }
}
