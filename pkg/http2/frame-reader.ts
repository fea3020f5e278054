import {
  ErrorCode,
  Flag,
  FRAME_HEAD_BYTES,
  FrameType,
  Http2Error,
  MAX_WINDOW,
  MIN_MAX_FRAME_BYTES,
  PREFACE,
} from "./protocol.ts";

/** What a connection's frames are handed to. Every method may throw Http2Error. */
export interface FrameSink {
  onHeaders(streamId: number, block: Buffer, endStream: boolean): void;
  /** `frameBytes` counts against the windows: the data with its padding. */
  onData(streamId: number, data: Buffer, frameBytes: number, endStream: boolean): void;
  onResetStream(streamId: number, code: number): void;
  onWindowUpdate(streamId: number, increment: number): void;
  onSetting(id: number, value: number): void;
  onSettingsEnd(): void;
  /** `ack`: it answers a ping of ours. */
  onPing(payload: Buffer, ack: boolean): void;
  /** Streams above `lastStreamId` have not been, and will not be, looked at. */
  onGoAway(lastStreamId: number, code: number): void;
}

/** A header block that goes on in CONTINUATION frames. */
interface OpenBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly parts: Buffer[];
  size: number;
}

/** Cuts what arrives into frames, and checks their form. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #maxBlockBytes: number;
  #rest: Buffer | undefined;
  #prefaced: boolean;
  #settled = false;
  #block: OpenBlock | undefined;

  /** `from`: who sends; only a client begins with a preface. */
  constructor(sink: FrameSink, maxBlockBytes: number, from: "client" | "server") {
    this.#sink = sink;
    this.#maxBlockBytes = maxBlockBytes;
    this.#prefaced = from === "server";
  }
  /** Preface and settings have arrived. */
  get greeted(): boolean {
    return this.#settled;
  }
  /** The header block that is to go on, if any. */
  get openBlock(): object | undefined {
    return this.#block;
  }
  /** @throws Http2Error */
  read(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    if (!this.#prefaced) {
      const length = Math.min(bytes.length, PREFACE.length);
      if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) {
        throw new Http2Error(ErrorCode.Protocol, "this is not HTTP/2");
      }
      if (length < PREFACE.length) {
        this.#rest = bytes;
        return;
      }
      this.#prefaced = true;
      at = length;
    }
    while (bytes.length - at >= FRAME_HEAD_BYTES) {
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
      if (length > MIN_MAX_FRAME_BYTES) throw new Http2Error(ErrorCode.FrameSize, "the frame is too large");
      const start = at + FRAME_HEAD_BYTES;
      const end = start + length;
      if (end > bytes.length) break;
      const streamId = bytes.readUInt32BE(at + 5) & MAX_WINDOW;
      this.#frame(bytes[at + 3]!, bytes[at + 4]!, streamId, bytes, start, end);
      at = end;
    }
    if (at < bytes.length) this.#rest = at === 0 ? bytes : bytes.subarray(at);
  }

  #frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (!this.#settled && (type !== FrameType.Settings || (flags & Flag.Ack) !== 0)) {
      throw new Http2Error(ErrorCode.Protocol, "the first frame is not SETTINGS");
    }
    if (this.#block !== undefined && (type !== FrameType.Continuation || streamId !== this.#block.streamId)) {
      throw new Http2Error(ErrorCode.Protocol, "a header block was interrupted");
    }
    switch (type) {
      case FrameType.Headers:
        this.#headers(flags, streamId, bytes, start, end);
        return;
      case FrameType.Data: {
        const [from, to] = unpadded(flags, bytes, start, end);
        this.#sink.onData(streamId, bytes.subarray(from, to), end - start, (flags & Flag.EndStream) !== 0);
        return;
      }
      case FrameType.WindowUpdate:
        this.#expectLength(end - start, 4);
        this.#sink.onWindowUpdate(streamId, bytes.readUInt32BE(start) & MAX_WINDOW);
        return;
      case FrameType.Settings:
        this.#settings(flags, streamId, bytes, start, end);
        return;
      case FrameType.Ping:
        this.#expectLength(end - start, 8);
        this.#expectConnection(streamId);
        this.#sink.onPing(bytes.subarray(start, end), (flags & Flag.Ack) !== 0);
        return;
      case FrameType.ResetStream:
        this.#expectLength(end - start, 4);
        this.#sink.onResetStream(streamId, bytes.readUInt32BE(start));
        return;
      case FrameType.Continuation:
        this.#continuation(flags, bytes, start, end);
        return;
      case FrameType.GoAway:
        this.#expectConnection(streamId);
        if (end - start < 8) throw new Http2Error(ErrorCode.FrameSize, "the frame is too short");
        this.#sink.onGoAway(bytes.readUInt32BE(start) & MAX_WINDOW, bytes.readUInt32BE(start + 4));
        return;
      case FrameType.Priority:
        this.#expectLength(end - start, 5);
        if (streamId === 0) throw new Http2Error(ErrorCode.Protocol, "a priority of no stream");
        return;
      case FrameType.PushPromise:
        throw new Http2Error(ErrorCode.Protocol, "nothing may be pushed");
      default: // Unknown types are to be ignored.
    }
  }
  #headers(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0) throw new Http2Error(ErrorCode.Protocol, "headers of no stream");
    let [from, to] = unpadded(flags, bytes, start, end);
    if ((flags & Flag.Priority) !== 0) from += 5;
    if (from > to) throw new Http2Error(ErrorCode.FrameSize, "the frame is too short");
    const endStream = (flags & Flag.EndStream) !== 0;
    const part = bytes.subarray(from, to);
    if ((flags & Flag.EndHeaders) !== 0) this.#sink.onHeaders(streamId, part, endStream);
    else this.#block = { streamId, endStream, parts: [part], size: part.length };
  }
  #continuation(flags: number, bytes: Buffer, start: number, end: number): void {
    const block = this.#block;
    if (block === undefined) throw new Http2Error(ErrorCode.Protocol, "there is nothing to continue");
    block.parts.push(bytes.subarray(start, end));
    // Every part costs something, also an empty one.
    block.size += end - start + FRAME_HEAD_BYTES;
    if (block.size > this.#maxBlockBytes) {
      throw new Http2Error(ErrorCode.EnhanceYourCalm, "the header block is too large");
    }
    if ((flags & Flag.EndHeaders) === 0) return;
    this.#block = undefined;
    this.#sink.onHeaders(block.streamId, Buffer.concat(block.parts), block.endStream);
  }
  #settings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    this.#expectConnection(streamId);
    if ((flags & Flag.Ack) !== 0) {
      this.#expectLength(end - start, 0);
      return;
    }
    if ((end - start) % 6 !== 0) throw new Http2Error(ErrorCode.FrameSize, "the settings are cut off");
    this.#settled = true;
    for (let at = start; at < end; at += 6) this.#sink.onSetting(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2));
    this.#sink.onSettingsEnd();
  }
  #expectLength(length: number, expected: number): void {
    if (length !== expected) throw new Http2Error(ErrorCode.FrameSize, "the frame has the wrong size");
  }
  #expectConnection(streamId: number): void {
    if (streamId !== 0) throw new Http2Error(ErrorCode.Protocol, "the frame belongs to no stream");
  }
}

/** Where a payload's content lies without its padding. */
function unpadded(flags: number, bytes: Buffer, start: number, end: number): [from: number, to: number] {
  if ((flags & Flag.Padded) === 0) return [start, end];
  const from = start + 1;
  const to = end - (bytes[start] ?? 0);
  if (start >= end || to < from) throw new Http2Error(ErrorCode.Protocol, "there is more padding than frame");
  return [from, to];
}
