import type { Socket } from "node:net";
import { type Clock, scheduleLimit } from "#pkg/util/index.ts";
import { ClientStream, type ResponseSink } from "./client-stream.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FRAME_HEAD_BYTES,
  frame,
  FrameType,
  Http2Error,
  MAX_WINDOW,
  MIN_MAX_FRAME_BYTES,
  numberFrame,
  PREFACE,
  Setting,
  settingsFrame,
  writeFrameHead,
} from "./protocol.ts";
import { FieldEncoder, type Fields } from "./request-fields.ts";

export interface ClientConnectionDeps {
  /** Whoever has opened it reads it, and hands over what arrives. */
  readonly socket: Socket;
  readonly clock: Clock;
  /** Pseudo-fields that are the same for all requests: scheme and authority. */
  readonly common: Fields;
  /** The peer's first settings have arrived: it takes requests. */
  readonly onReady: () => void;
  /** No more requests can be opened; those under way go on. Called once, before `onClose`. */
  readonly onRetired: () => void;
  /** Called once, after all requests have been told. */
  readonly onClose: (error: Error) => void;
}

/** Answers and streams are large; the default windows of 64 KiB would make them wait for round trips. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
const MAX_HEADER_BYTES = 64 * 1024;
/** What the peer may make us say before it reads. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
/** A peer that vanished without a word is noticed within 15 seconds. gRPC servers take pings every 5 seconds amiss. */
const PING_INTERVAL_MS = 10_000;
const PING_TIMEOUT_MS = 5000;
/**
 * gRPC servers measure the connection: data makes them send a ping, and only its answer the next one. Answered at once,
 * every request costs both sides a ping, which at low rates is a third of all that is sent.
 */
const PING_ANSWER_MS = 1000;
const MAX_UNANSWERED_PINGS = 4;
const MAX_STREAM_ID = MAX_WINDOW;
const EMPTY = Buffer.alloc(0);
const RETIRED = new Error("the connection takes no more requests");

/**
 * The client's side of one HTTP/2 connection (RFC 9113), for callers with many small requests: a request is a few
 * octets of head that the peer remembers, and everything of one turn of the event loop leaves in one write.
 */
export class ClientConnection implements FrameSink {
  readonly #deps: ClientConnectionDeps;
  readonly #reader = new FrameReader(this, MAX_HEADER_BYTES, "server");
  readonly #decoder = new HpackDecoder(MAX_HEADER_BYTES);
  readonly #encoder: FieldEncoder;
  readonly #streams = new Map<number, ClientStream>();
  /** Requests beyond what the peer takes at a time. */
  readonly #waiting = new Set<ClientStream>();
  /** Streams whose request is larger than the windows. */
  readonly #blocked = new Set<ClientStream>();
  #nextId = 1;
  #maxStreams = Number.POSITIVE_INFINITY;
  #peerStreamWindow = DEFAULT_WINDOW;
  #sendWindow = DEFAULT_WINDOW;
  #credit = 0;
  #out: Buffer[] = [PREFACE];
  #scheduled = false;
  #ready = false;
  #retired = false;
  #closed = false;
  #heard = false;
  #cancelKeepAlive: () => void;
  #unansweredPings: Buffer[] = [];
  #cancelAnswer: (() => void) | undefined;
  /** Whom the fields of the block that is being decoded are for. */
  #visited: ResponseSink | undefined;
  readonly #visit = (name: string, value: string) => this.#visited?.onField(name, value);
  readonly #pump = () => this.#write();

  constructor(deps: ClientConnectionDeps) {
    this.#deps = deps;
    const { socket } = deps;
    this.#encoder = new FieldEncoder(deps.common);
    this.#send(
      settingsFrame([
        [Setting.EnablePush, 0],
        [Setting.InitialWindowSize, STREAM_WINDOW_BYTES],
        [Setting.MaxHeaderListSize, MAX_HEADER_BYTES],
      ]),
    );
    this.#send(numberFrame(FrameType.WindowUpdate, 0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW));
    this.#cancelKeepAlive = this.#keepAlive();
    socket.setNoDelay(true);
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy(new Error("the connection was closed")));
  }
  /** May another request be opened? */
  get usable(): boolean {
    return this.#ready && !this.#retired;
  }
  /** Opens a request, with as much of a body as is known already. Without `end` the request stays open. */
  request(fields: Fields, body: Buffer, end: boolean, sink: ResponseSink): ClientStream {
    const stream = new ClientStream(this, fields, body, end, sink);
    if (!this.usable) throw RETIRED;
    if (this.#streams.size >= this.#maxStreams) this.#waiting.add(stream);
    else this.#start(stream);
    return stream;
  }
  /** For who reads the socket: what has arrived, which is kept. */
  receive(chunk: Buffer): void {
    if (this.#closed) return;
    this.#heard = true;
    try {
      this.#reader.read(chunk);
      if (this.#deps.socket.writableLength > MAX_WAITING_BYTES) {
        throw new Http2Error(ErrorCode.EnhanceYourCalm, "requests are answered, but not read");
      }
    } catch (error) {
      this.destroy(error as Error);
    }
  }
  /** Opens no more requests, and ends when those under way have been answered. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    this.#answerPings();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const stream of waiting) stream.sink.onEnd({ refused: true, cause: RETIRED });
    this.#deps.onRetired();
    this.#endWhenIdle();
  }
  /** Ends everything at once. */
  destroy(error: Error): void {
    if (this.#closed) return;
    this.#end();
    this.#out = [];
    this.#deps.socket.destroy();
    const streams = [...this.#streams.values(), ...this.#waiting];
    this.#streams.clear();
    this.#waiting.clear();
    this.#blocked.clear();
    for (const stream of streams) stream.sink.onEnd({ refused: stream.id === 0, cause: error });
    if (!this.#retired) this.#deps.onRetired();
    this.#retired = true;
    this.#deps.onClose(error);
  }

  /** For streams: the answer is of no interest any more. Its sink hears nothing. */
  cancel(stream: ClientStream): void {
    if (this.#waiting.delete(stream) || this.#streams.get(stream.id) !== stream) return;
    this.#send(numberFrame(FrameType.ResetStream, stream.id, ErrorCode.Cancel));
    this.#forget(stream);
  }
  /** For streams: so much of an answer has been taken, and the peer may send as much again. */
  taken(stream: ClientStream, bytes: number): void {
    if (this.#streams.get(stream.id) !== stream) return;
    stream.credit += bytes;
    if (stream.credit < STREAM_WINDOW_BYTES / 2) return;
    this.#send(numberFrame(FrameType.WindowUpdate, stream.id, stream.credit));
    stream.credit = 0;
  }

  onHeaders(streamId: number, block: Buffer, endStream: boolean): void {
    this.#expectKnown(streamId);
    const stream = this.#streams.get(streamId);
    this.#visited = stream?.sink;
    // Every block has to be decoded, also of what nobody waits for, because later ones may refer to it.
    const whole = this.#decoder.decode(block, this.#visit);
    if (stream === undefined) return;
    if (!whole) this.#break(stream, new Error("the head of the answer is too large"));
    else if (endStream) this.#finish(stream);
  }
  onData(streamId: number, data: Buffer, frameBytes: number, endStream: boolean): void {
    this.#expectKnown(streamId);
    this.#credit += frameBytes;
    if (this.#credit >= CONNECTION_WINDOW_BYTES / 2) {
      this.#send(numberFrame(FrameType.WindowUpdate, 0, this.#credit));
      this.#credit = 0;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.taken(stream, frameBytes - data.length); // padding
    stream.sink.onData(data);
    if (endStream) this.#finish(stream);
  }
  onResetStream(streamId: number, code: number): void {
    this.#expectKnown(streamId);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#forget(stream);
    const cause = new Error(`the stream was reset with code ${code}`);
    stream.sink.onEnd({ refused: code === ErrorCode.RefusedStream, cause });
  }
  onWindowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) this.#sendWindow = widened(this.#sendWindow, increment);
    else {
      const stream = this.#streams.get(streamId);
      if (stream === undefined) return;
      stream.sendWindow = widened(stream.sendWindow, increment);
    }
    this.#unblock();
  }
  onSetting(id: number, value: number): void {
    if (id === Setting.MaxConcurrentStreams) this.#maxStreams = value;
    else if (id === Setting.HeaderTableSize) this.#encoder.limitTable(value);
    else if (id === Setting.InitialWindowSize) {
      if (value > MAX_WINDOW) throw new Http2Error(ErrorCode.FlowControl, "the window is too large");
      const change = value - this.#peerStreamWindow;
      this.#peerStreamWindow = value;
      for (const stream of this.#streams.values()) stream.sendWindow += change;
    }
  }
  onSettingsEnd(): void {
    this.#send(frame(FrameType.Settings, Flag.Ack, 0, EMPTY));
    this.#unblock();
    this.#startWaiting();
    if (this.#ready) return;
    this.#ready = true;
    this.#deps.onReady();
  }
  onPing(payload: Buffer, ack: boolean): void {
    if (ack) return;
    this.#unansweredPings.push(Buffer.from(payload));
    // What waits for room waits for the measurement, and a server that ends for us.
    const waits = this.#blocked.size > 0 || this.#retired || this.#unansweredPings.length >= MAX_UNANSWERED_PINGS;
    if (waits) this.#answerPings();
    else this.#cancelAnswer ??= this.#deps.clock.schedule(PING_ANSWER_MS, () => this.#answerPings());
  }
  onGoAway(lastStreamId: number, code: number): void {
    const cause = new Error(`the server takes no more requests (code ${code})`);
    this.retire();
    for (const stream of this.#streams.values()) {
      if (stream.id <= lastStreamId) continue;
      this.#forget(stream);
      stream.sink.onEnd({ refused: true, cause });
    }
  }

  #start(stream: ClientStream): void {
    const id = this.#nextId;
    this.#nextId += 2;
    stream.id = id;
    stream.sendWindow = this.#peerStreamWindow;
    this.#streams.set(id, stream);
    const block = this.#encoder.encode(stream.fields);
    const { unsent, end } = stream;
    const length = unsent.length;
    if (length > MIN_MAX_FRAME_BYTES || length > this.#sendWindow || length > stream.sendWindow) {
      this.#send(frame(FrameType.Headers, Flag.EndHeaders, id, block));
      this.#sendBody(stream);
    } else {
      // Head and body in one piece.
      const body = FRAME_HEAD_BYTES + block.length;
      const out = Buffer.allocUnsafe(body + FRAME_HEAD_BYTES + length);
      writeFrameHead(out, 0, block.length, FrameType.Headers, Flag.EndHeaders, id);
      out.set(block, FRAME_HEAD_BYTES);
      writeFrameHead(out, body, length, FrameType.Data, end ? Flag.EndStream : 0, id);
      out.set(unsent, body + FRAME_HEAD_BYTES);
      stream.unsent = EMPTY;
      stream.sendWindow -= length;
      this.#sendWindow -= length;
      this.#send(out);
    }
    if (this.#nextId > MAX_STREAM_ID) this.retire();
  }
  /** As much of a request's body as the windows take. */
  #sendBody(stream: ClientStream): void {
    while (stream.unsent.length > 0) {
      const length = Math.min(stream.unsent.length, MIN_MAX_FRAME_BYTES, stream.sendWindow, this.#sendWindow);
      if (length <= 0) {
        this.#blocked.add(stream);
        this.#answerPings();
        return;
      }
      const last = length === stream.unsent.length && stream.end;
      const part = stream.unsent.subarray(0, length);
      this.#send(frame(FrameType.Data, last ? Flag.EndStream : 0, stream.id, part));
      stream.unsent = stream.unsent.subarray(length);
      stream.sendWindow -= length;
      this.#sendWindow -= length;
    }
    this.#blocked.delete(stream);
  }
  #unblock(): void {
    for (const stream of this.#blocked) this.#sendBody(stream);
  }
  #startWaiting(): void {
    for (const stream of this.#waiting) {
      if (this.#streams.size >= this.#maxStreams || this.#retired) return;
      this.#waiting.delete(stream);
      this.#start(stream);
    }
  }
  /** The answer is complete. */
  #finish(stream: ClientStream): void {
    // The rest of the request is of no use.
    if (!stream.end || stream.unsent.length > 0) {
      this.#send(numberFrame(FrameType.ResetStream, stream.id, ErrorCode.None));
    }
    this.#forget(stream);
    stream.sink.onEnd(undefined);
  }
  #break(stream: ClientStream, cause: Error): void {
    this.cancel(stream);
    stream.sink.onEnd({ refused: false, cause });
  }
  #forget(stream: ClientStream): void {
    this.#streams.delete(stream.id);
    this.#blocked.delete(stream);
    if (this.#waiting.size > 0) this.#startWaiting();
    this.#endWhenIdle();
  }
  #endWhenIdle(): void {
    if (!this.#retired || this.#closed || this.#streams.size > 0) return;
    this.#end();
    this.#write();
    this.#deps.socket.destroySoon();
    this.#deps.onClose(RETIRED);
  }
  #end(): void {
    this.#closed = true;
    this.#cancelKeepAlive();
    this.#cancelAnswer?.();
  }
  #expectKnown(streamId: number): void {
    if (streamId % 2 === 0 || streamId >= this.#nextId) {
      throw new Http2Error(ErrorCode.Protocol, "an answer to what was not asked");
    }
  }
  #send(bytes: Buffer): void {
    this.#out.push(bytes);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#pump);
  }
  #write(): void {
    this.#scheduled = false;
    const out = this.#out;
    if (out.length === 0) return;
    this.#out = [];
    this.#deps.socket.write(out.length === 1 ? out[0]! : Buffer.concat(out));
  }
  #answerPings(): void {
    this.#cancelAnswer?.();
    this.#cancelAnswer = undefined;
    for (const payload of this.#unansweredPings) this.#send(frame(FrameType.Ping, Flag.Ack, 0, payload));
    this.#unansweredPings = [];
  }
  /** Pings a peer that is silent although it owes something; returns what stops that. */
  #keepAlive(): () => void {
    const { clock } = this.#deps;
    let cancel = () => {};
    const later = () => {
      cancel = clock.schedule(PING_INTERVAL_MS, () => {
        if (this.#heard || this.#streams.size === 0) {
          this.#heard = false;
          later();
          return;
        }
        this.#send(frame(FrameType.Ping, 0, 0, Buffer.alloc(8)));
        cancel = scheduleLimit(clock, PING_TIMEOUT_MS, () => {
          if (this.#heard) later();
          else this.destroy(new Error("the server does not answer"));
        });
      });
    };
    later();
    return () => cancel();
  }
}

function widened(window: number, increment: number): number {
  if (increment > 0 && window + increment <= MAX_WINDOW) return window + increment;
  throw new Http2Error(ErrorCode.FlowControl, "a window update out of bounds");
}
