/**
 * The messages of etcd's API that every request and every event needs, in protobuf's wire format (field numbers of
 * etcdserverpb and mvccpb). Rarer ones go through the client library.
 */
import { BYTES, Reader, ReverseWriter, VARINT } from "#pkg/apimachinery/protobuf/index.ts";
import type { KeyValue, StoreEvent } from "../store.ts";

export interface RangeRequest {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
  readonly limit?: number | undefined;
  readonly revision?: number | undefined;
  readonly countOnly?: boolean;
}
export interface RangeResponse {
  readonly revision: number;
  readonly kvs: KeyValue[];
  readonly count: number;
}
/** Writes one key, or reads it when it is not as expected. */
export interface CompareAndSwap {
  readonly key: Buffer;
  /** undefined writes whatever is there; 0 only when nothing is. */
  readonly expectedModRevision: number | undefined;
  /** undefined deletes. */
  readonly value: Uint8Array | undefined;
  /** A lease's id in decimal, "0" for none: it has all of 64 bits. */
  readonly lease: string;
}
export interface TxnResponse {
  readonly revision: number;
  readonly succeeded: boolean;
  readonly current: KeyValue | undefined;
}
export interface WatchResponse {
  readonly revision: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly events: readonly StoreEvent[];
}

const COMPARE_MOD_REVISION = 2;
const EVENT_DELETE = 1;

/** Encodes requests, each framed as gRPC wants it. */
export class RequestEncoder {
  // It goes from the end to the beginning, and so does everything here: last fields first.
  readonly #writer = new ReverseWriter();

  range(request: RangeRequest): Buffer {
    this.#range(request);
    return this.#framed();
  }
  compareAndSwap({ key, expectedModRevision, value, lease }: CompareAndSwap): Buffer {
    this.#nested(3, () => this.#nested(1, () => this.#range({ key })));
    this.#nested(2, () => {
      if (value === undefined) this.#nested(3, () => this.#bytes(1, key));
      else this.#nested(2, () => this.#put(key, value, lease));
    });
    if (expectedModRevision !== undefined) {
      this.#nested(1, () => {
        this.#number(6, expectedModRevision);
        this.#bytes(3, key);
        this.#number(2, COMPARE_MOD_REVISION);
      });
    }
    return this.#framed();
  }
  /** A watch that also tells of progress when nothing happens. */
  watch(key: Buffer, rangeEnd: Buffer, startRevision: number): Buffer {
    this.#nested(1, () => {
      this.#number(4, 1);
      this.#number(3, startRevision);
      this.#bytes(2, rangeEnd);
      this.#bytes(1, key);
    });
    return this.#framed();
  }

  #range({ key, rangeEnd, limit = 0, revision = 0, countOnly = false }: RangeRequest): void {
    if (countOnly) this.#number(9, 1);
    if (revision !== 0) this.#number(4, revision);
    if (limit !== 0) this.#number(3, limit);
    if (rangeEnd !== undefined) this.#bytes(2, rangeEnd);
    this.#bytes(1, key);
  }
  #put(key: Buffer, value: Uint8Array, lease: string): void {
    if (lease !== "0") {
      const digits: number[] = [];
      let rest = BigInt.asUintN(64, BigInt(lease));
      for (; rest >= 0x80n; rest >>= 7n) digits.push(Number(rest & 0x7fn) | 0x80);
      this.#writer.byte(Number(rest));
      for (const digit of digits.reverse()) this.#writer.byte(digit);
      this.#tag(3, VARINT);
    }
    this.#bytes(2, value);
    this.#bytes(1, key);
  }
  #nested(field: number, write: () => void): void {
    const mark = this.#writer.written;
    write();
    this.#writer.varint(this.#writer.written - mark);
    this.#tag(field, BYTES);
  }
  #bytes(field: number, value: Uint8Array): void {
    this.#writer.bytes(value);
    this.#tag(field, BYTES);
  }
  #number(field: number, value: number): void {
    this.#writer.varint(value);
    this.#tag(field, VARINT);
  }
  #tag(field: number, wireType: number): void {
    this.#writer.varint((field << 3) | wireType);
  }
  #framed(): Buffer {
    const length = this.#writer.written;
    for (let shift = 0; shift < 32; shift += 8) this.#writer.byte((length >>> shift) & 0xff);
    this.#writer.byte(0); // not compressed
    return this.#writer.finish();
  }
}

export function decodeRange(message: Buffer): RangeResponse {
  return readRange(new Reader(message));
}
export function decodeTxn(message: Buffer): TxnResponse {
  let revision = 0;
  let succeeded = false;
  let current: KeyValue | undefined;
  fields(new Reader(message), (field, reader) => {
    if (field === 1) revision = readHeader(reader);
    else if (field === 2) succeeded = reader.bool();
    else if (field === 3) {
      inside(reader, (operation) => {
        if (operation !== 1) return false;
        current = readRange(sub(reader)).kvs[0];
        return true;
      });
    } else return false;
    return true;
  });
  return { revision, succeeded, current };
}
export function decodeWatch(message: Buffer): WatchResponse {
  const response = { revision: 0, created: false, canceled: false, compactRevision: 0, cancelReason: "" };
  const events: StoreEvent[] = [];
  fields(new Reader(message), (field, reader) => {
    if (field === 1) response.revision = readHeader(reader);
    else if (field === 3) response.created = reader.bool();
    else if (field === 4) response.canceled = reader.bool();
    else if (field === 5) response.compactRevision = Number(reader.int64());
    else if (field === 6) response.cancelReason = reader.string();
    else if (field === 11) events.push(readEvent(reader));
    else return false;
    return true;
  });
  return { ...response, events };
}

function readRange(message: Reader): RangeResponse {
  let revision = 0;
  let count = 0;
  const kvs: KeyValue[] = [];
  fields(message, (field, reader) => {
    if (field === 1) revision = readHeader(reader);
    else if (field === 2) kvs.push(readKeyValue(reader));
    else if (field === 4) count = Number(reader.int64());
    else return false;
    return true;
  });
  return { revision, kvs, count };
}
function readHeader(around: Reader): number {
  let revision = 0;
  inside(around, (field) => {
    if (field !== 3) return false;
    revision = Number(around.int64());
    return true;
  });
  return revision;
}
function readKeyValue(around: Reader): KeyValue {
  let key = "";
  let value: Buffer = EMPTY;
  let createRevision = 0;
  let modRevision = 0;
  inside(around, (field) => {
    if (field === 1) key = around.string();
    else if (field === 2) createRevision = Number(around.int64());
    else if (field === 3) modRevision = Number(around.int64());
    else if (field === 5) value = around.bytes();
    else return false;
    return true;
  });
  return { key, value, createRevision, modRevision };
}
function readEvent(around: Reader): StoreEvent {
  let deleted = false;
  let kv: KeyValue | undefined;
  inside(around, (field) => {
    if (field === 1) deleted = around.int32() === EVENT_DELETE;
    else if (field === 2) kv = readKeyValue(around);
    else return false;
    return true;
  });
  const { key, value, createRevision, modRevision } = kv!;
  return deleted
    ? { type: "delete", key, createRevision: 0, modRevision }
    : { type: "put", key, value, createRevision, modRevision };
}

const EMPTY = Buffer.alloc(0);

/** Calls back for each field up to the reader's end; those it does not take (false) are skipped. */
function fields(reader: Reader, take: (field: number, reader: Reader) => boolean): void {
  while (reader.position < reader.end) {
    const tag = reader.varint();
    if (!take(Math.floor(tag / 8), reader)) reader.skip(tag & 7);
  }
}
/** The same for a message within a message. */
function inside(reader: Reader, take: (field: number) => boolean): void {
  const outer = reader.end;
  reader.end = reader.length();
  fields(reader, take);
  reader.end = outer;
}
/** A reader of its own for the message that comes next. */
function sub(reader: Reader): Reader {
  return new Reader(reader.bytes());
}
