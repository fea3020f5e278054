import type { TLSSocket } from "node:tls";
import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FRAME_HEAD_BYTES,
  frame,
  FrameReader,
  type FrameSink,
  FrameType,
  Http2Error,
  MAX_MAX_FRAME_BYTES,
  MAX_WINDOW,
  MIN_MAX_FRAME_BYTES,
  numberFrame,
  Setting,
  settingsFrame,
  writeFrameHead,
} from "#pkg/http2/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { ApiRequest } from "../../contract.ts";
import { PLAIN_TEXT } from "../header-sets.ts";
import type { LiveRequests } from "../live-requests.ts";
import { Exchange, type RequestHead } from "./exchange.ts";
import { encodeHeaders } from "./hpack-encoder.ts";
import { FrameWriter } from "./frame-writer.ts";
import { type Impatient, type Observed, Patience } from "./patience.ts";
import { type Malformed, RequestHeads, TOO_LARGE } from "./request-head.ts";

export interface Http2Limits {
  readonly maxStreams: number;
  /** What a client may send on one stream, and on all of a connection, before it is read. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly maxHeaderBytes: number;
}

export interface Http2ConnectionDeps {
  readonly socket: TLSSocket;
  readonly peer: ApiRequest["peer"];
  readonly limits: Http2Limits;
  readonly live: LiveRequests;
  /** Serves one request; resolves when its handler is done. */
  readonly serve: (exchange: Exchange) => Promise<void>;
  readonly clock: Clock;
  /** Called once, with the reason when the peer or the network caused it. */
  readonly onClose: (error: Error | undefined) => void;
}

/**
 * A client that makes us say more than it reads is not a client. Heads of answers count, too, so it is more than all
 * streams of a connection can have waiting.
 */
const MAX_CONTROL_BYTES = 4 * 1024 * 1024;
/** Far more streams than can be closed while a client's frames are on their way. */
const MAX_CUT_SHORT = 4096;
/** Frames in a row that carry nothing. */
const MAX_EMPTY_FRAMES = 1000;
const DEFAULT_TABLE_BYTES = 4096;
/** A block of this many times the largest head is not even read to its end. */
const MAX_BLOCK_HEADS = 4;
const UNREAD_HEAD: RequestHead = { method: "GET", path: "/", headers: {} };
const HEAD_TOO_LARGE = Buffer.from("431 Request Header Fields Too Large");
/** HPACK's "the dynamic table has no room". */
const EMPTY_TABLE = 0x20;
/** For a last word to reach the peer. */
const GOODBYE_MS = 1000;

/** The server's side of one HTTP/2 connection (RFC 9113). */
export class Http2Connection implements FrameSink, Impatient {
  readonly peer: ApiRequest["peer"];
  readonly remoteAddress: string;
  readonly #deps: Http2ConnectionDeps;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #heads: RequestHeads;
  readonly #patience: Patience;
  readonly #streams = new Map<number, Exchange>();
  /** Streams that we have ended before the client did, oldest first: what it had sent by then is no fault. */
  readonly #cutShort = new Set<number>();
  #lastStreamId = 0;
  /** Handlers at work, also those whose client has reset the stream. */
  #running = 0;
  #peerStreamWindow = DEFAULT_WINDOW;
  #receiveWindow: number;
  #credit = 0;
  #emptyFrames = 0;
  /** The peer wants a smaller header table, and the next header block has to say that ours is empty. */
  #tableEmptied = false;
  #closing = false;
  #closed = false;
  #cancelGoodbye: (() => void) | undefined;

  constructor(deps: Http2ConnectionDeps) {
    const { socket, limits } = deps;
    this.#deps = deps;
    this.peer = deps.peer;
    this.remoteAddress = socket.remoteAddress ?? "";
    this.#heads = new RequestHeads(limits.maxHeaderBytes);
    this.#receiveWindow = limits.connectionWindowBytes;
    this.#reader = new FrameReader(this, MAX_BLOCK_HEADS * limits.maxHeaderBytes, "client");
    this.#writer = new FrameWriter(socket, (exchange) => this.#answered(exchange));
    this.#writer.control(
      settingsFrame([
        [Setting.MaxConcurrentStreams, limits.maxStreams],
        [Setting.InitialWindowSize, limits.streamWindowBytes],
        [Setting.MaxHeaderListSize, limits.maxHeaderBytes],
      ]),
    );
    this.#writer.control(numberFrame(FrameType.WindowUpdate, 0, limits.connectionWindowBytes - DEFAULT_WINDOW));
    this.#patience = new Patience(deps.clock, this);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("end", () => this.destroy());
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
  }
  /** Whether an answer, or a part of one, has not left yet. */
  get sending(): boolean {
    return this.#streams.size > 0 || this.#deps.socket.writableLength > 0;
  }
  /** Takes no more requests; ends when those under way have been answered. */
  close(): void {
    if (this.#closing || this.#closed) return;
    this.#closing = true;
    this.#goAway(ErrorCode.None, "");
    this.#endWhenIdle();
  }
  /** Ends everything at once. */
  destroy(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelGoodbye?.();
    this.#patience.stop();
    this.#writer.close();
    this.#deps.socket.destroy();
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const exchange of streams) exchange.gone();
    this.#deps.onClose(error);
  }

  /** Sends the head of an answer; `last` when no body follows. */
  respond(
    exchange: Exchange,
    status: number,
    headers: Readonly<Record<string, string>>,
    contentLength: number | undefined,
    last: boolean,
  ): void {
    const update = this.#tableEmptied ? 1 : 0;
    const now = this.#deps.clock.now();
    const auditId = status < 200 ? undefined : exchange.auditId;
    const block = encodeHeaders(FRAME_HEAD_BYTES + update, status, headers, contentLength, now, auditId);
    if (this.#tableEmptied) {
      block[FRAME_HEAD_BYTES] = EMPTY_TABLE;
      this.#tableEmptied = false;
    }
    const length = block.length - FRAME_HEAD_BYTES;
    const most = MIN_MAX_FRAME_BYTES;
    const first = Math.min(length, most);
    const flags = (last ? Flag.EndStream : 0) | (first === length ? Flag.EndHeaders : 0);
    writeFrameHead(block, 0, first, FrameType.Headers, flags, exchange.id);
    this.#writer.control(first === length ? block : block.subarray(0, FRAME_HEAD_BYTES + first));
    for (let at = first; at < length; at += most) {
      const end = Math.min(length, at + most);
      const part = block.subarray(FRAME_HEAD_BYTES + at, FRAME_HEAD_BYTES + end);
      this.#writer.control(frame(FrameType.Continuation, end === length ? Flag.EndHeaders : 0, exchange.id, part));
    }
    if (last) this.#answered(exchange);
  }
  hasData(exchange: Exchange): void {
    this.#writer.data(exchange);
  }
  /** The answer cannot be completed: the client is told by a reset. */
  abandon(exchange: Exchange): void {
    if (!exchange.closed) this.#reset(exchange, ErrorCode.Internal);
  }
  /** Bytes of a request's body have been read: the client may send as many again. */
  taken(exchange: Exchange, bytes: number): void {
    if (bytes === 0 || this.#closed) return;
    const { streamWindowBytes } = this.#deps.limits;
    this.#grant(bytes);
    if (exchange.closed || exchange.requestEnded) return;
    exchange.credit += bytes;
    if (exchange.credit < streamWindowBytes / 2) return;
    exchange.receiveWindow += exchange.credit;
    this.#writer.control(numberFrame(FrameType.WindowUpdate, exchange.id, exchange.credit));
    exchange.credit = 0;
  }

  onHeaders(streamId: number, block: Buffer, endStream: boolean): void {
    if (streamId % 2 === 0) throw new Http2Error(ErrorCode.Protocol, "a request on a stream of the server");
    // Every block has to be decoded, also of what is refused, because later ones may refer to it.
    if (streamId <= this.#lastStreamId) {
      this.#trailers(streamId, this.#heads.readTrailers(block), endStream);
      return;
    }
    const head = this.#heads.read(block);
    this.#lastStreamId = streamId;
    if (this.#closing || this.#streams.size >= this.#deps.limits.maxStreams) {
      this.#resetStream(streamId, ErrorCode.RefusedStream, endStream);
      return;
    }
    // Streams may be reset as fast as they are opened; the work they leave behind counts.
    if (this.#running >= 2 * this.#deps.limits.maxStreams) {
      throw new Http2Error(ErrorCode.EnhanceYourCalm, "too many requests have been abandoned");
    }
    if (head === TOO_LARGE) {
      this.#open(streamId, UNREAD_HEAD, endStream).send(431, PLAIN_TEXT, HEAD_TOO_LARGE);
      return;
    }
    // A body that was announced and does not follow would be taken for an empty one.
    if (isMalformed(head) || (endStream && Number(head.headers["content-length"] ?? 0) !== 0)) {
      this.#resetStream(streamId, ErrorCode.Protocol, endStream);
      return;
    }
    const exchange = this.#open(streamId, head, endStream);
    this.#running++;
    void this.#deps.serve(exchange).finally(() => this.#running--);
  }
  onData(streamId: number, data: Buffer, frameBytes: number, endStream: boolean): void {
    if (this.#isIdle(streamId)) throw new Http2Error(ErrorCode.Protocol, "data out of place");
    this.#receiveWindow -= frameBytes;
    if (this.#receiveWindow < 0) throw new Http2Error(ErrorCode.FlowControl, "more data than there is window for");
    this.#emptyFrames = frameBytes === 0 && !endStream ? this.#emptyFrames + 1 : 0;
    if (this.#emptyFrames > MAX_EMPTY_FRAMES) throw new Http2Error(ErrorCode.EnhanceYourCalm, "too many empty frames");
    const exchange = this.#streams.get(streamId);
    if (exchange === undefined) {
      this.#late(streamId, endStream);
      this.#grant(frameBytes);
      return;
    }
    exchange.receiveWindow -= frameBytes;
    if (exchange.requestEnded) this.#reset(exchange, ErrorCode.StreamClosed);
    else if (exchange.receiveWindow < 0) this.#reset(exchange, ErrorCode.FlowControl);
    else {
      this.taken(exchange, frameBytes - data.length); // padding
      if (exchange.receive(data, endStream)) return;
      this.#grant(data.length);
      this.#reset(exchange, ErrorCode.Protocol);
      return;
    }
    this.#grant(frameBytes);
  }
  onResetStream(streamId: number): void {
    if (this.#isIdle(streamId)) throw new Http2Error(ErrorCode.Protocol, "a reset out of place");
    this.#cutShort.delete(streamId);
    const exchange = this.#streams.get(streamId);
    if (exchange === undefined) return;
    this.#streams.delete(streamId);
    exchange.gone();
    this.#endWhenIdle();
  }
  onWindowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      if (increment === 0) throw new Http2Error(ErrorCode.Protocol, "a window update of nothing");
      this.#writer.grow(increment);
      return;
    }
    if (this.#isIdle(streamId)) throw new Http2Error(ErrorCode.Protocol, "a window update out of place");
    const exchange = this.#streams.get(streamId);
    if (exchange === undefined) return;
    exchange.sendWindow += increment;
    if (increment === 0) this.#reset(exchange, ErrorCode.Protocol);
    else if (exchange.sendWindow > MAX_WINDOW) this.#reset(exchange, ErrorCode.FlowControl);
    else if (exchange.queuedBytes > 0) this.#writer.data(exchange);
  }
  onSetting(id: number, value: number): void {
    if (id === Setting.InitialWindowSize) {
      if (value > MAX_WINDOW) throw new Http2Error(ErrorCode.FlowControl, "the window is too large");
      const change = value - this.#peerStreamWindow;
      this.#peerStreamWindow = value;
      for (const exchange of this.#streams.values()) {
        exchange.sendWindow += change;
        if (exchange.sendWindow > MAX_WINDOW) throw new Http2Error(ErrorCode.FlowControl, "the window is too large");
        if (exchange.queuedBytes > 0) this.#writer.data(exchange);
      }
    } else if (id === Setting.MaxFrameSize) {
      if (value < MIN_MAX_FRAME_BYTES || value > MAX_MAX_FRAME_BYTES) {
        throw new Http2Error(ErrorCode.Protocol, "the frame size is out of bounds");
      }
    } else if (id === Setting.HeaderTableSize) {
      this.#tableEmptied ||= value < DEFAULT_TABLE_BYTES;
    } else if (id === Setting.EnablePush && value > 1) {
      throw new Http2Error(ErrorCode.Protocol, "enable push is neither yes nor no");
    }
  }
  onSettingsEnd(): void {
    this.#writer.control(frame(FrameType.Settings, Flag.Ack, 0, EMPTY));
  }
  onPing(payload: Buffer, ack: boolean): void {
    if (ack) return;
    this.#writer.control(frame(FrameType.Ping, Flag.Ack, 0, payload));
  }
  onGoAway(): void {
    this.close();
  }

  observe(): Observed {
    return {
      greeted: this.#reader.greeted,
      openBlock: this.#reader.openBlock,
      finished: this.#closing && this.#streams.size === 0,
      busy: this.#streams.size > 0 || this.#running > 0,
      requests: this.#lastStreamId,
    };
  }
  overdue(what: string): void {
    this.destroy(new Error(`the client owes ${what}`));
  }
  idle(): void {
    this.close();
  }
  dropStalled(looks: number): void {
    for (const exchange of this.#streams.values()) {
      if (exchange.stalledFor() >= looks) this.#reset(exchange, ErrorCode.Cancel);
    }
  }

  #open(streamId: number, head: RequestHead, endStream: boolean): Exchange {
    const { live, limits } = this.#deps;
    const sendWindow = this.#peerStreamWindow;
    const exchange = new Exchange(this, live, streamId, head, sendWindow, limits.streamWindowBytes, endStream);
    this.#streams.set(streamId, exchange);
    return exchange;
  }
  #receive(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      this.#reader.read(chunk);
      // Acknowledgements, resets and heads of answers: nothing that the peer may ask for goes on without bound.
      if (this.#writer.controlBytes > MAX_CONTROL_BYTES) {
        throw new Http2Error(ErrorCode.EnhanceYourCalm, "answers are asked for, but not read");
      }
    } catch (error) {
      this.#fail(error instanceof Http2Error ? error : new Http2Error(ErrorCode.Internal, String(error)));
    }
  }
  #trailers(streamId: number, malformed: Malformed | undefined, endStream: boolean): void {
    const exchange = this.#streams.get(streamId);
    if (exchange === undefined) this.#late(streamId, endStream);
    else if (exchange.requestEnded) this.#reset(exchange, ErrorCode.StreamClosed);
    else if (!endStream || malformed !== undefined || !exchange.receive(EMPTY, true)) {
      this.#reset(exchange, ErrorCode.Protocol);
    }
  }
  /** Streams in the state "idle" (section 5.1); those of the server are never opened. */
  #isIdle(streamId: number): boolean {
    return streamId === 0 || streamId % 2 === 0 || streamId > this.#lastStreamId;
  }
  /** A part of a request whose stream is closed: it may have crossed our reset, but not follow the client's own end. */
  #late(streamId: number, endStream: boolean): void {
    if (!this.#cutShort.has(streamId)) throw new Http2Error(ErrorCode.StreamClosed, "the stream is closed");
    if (endStream) this.#cutShort.delete(streamId);
  }
  #resetStream(streamId: number, code: number, requestEnded: boolean): void {
    this.#writer.control(numberFrame(FrameType.ResetStream, streamId, code));
    if (requestEnded) return;
    this.#cutShort.add(streamId);
    if (this.#cutShort.size <= MAX_CUT_SHORT) return;
    for (const oldest of this.#cutShort) {
      this.#cutShort.delete(oldest);
      return;
    }
  }
  #grant(bytes: number): void {
    this.#credit += bytes;
    if (this.#closed || this.#credit < this.#deps.limits.connectionWindowBytes / 2) return;
    this.#receiveWindow += this.#credit;
    this.#writer.control(numberFrame(FrameType.WindowUpdate, 0, this.#credit));
    this.#credit = 0;
  }
  /** The last byte of an answer is on its way. */
  #answered(exchange: Exchange): void {
    this.#streams.delete(exchange.id);
    // What is left of the request need not be sent.
    if (!exchange.requestEnded) this.#resetStream(exchange.id, ErrorCode.None, false);
    exchange.done();
    this.#endWhenIdle();
  }
  #reset(exchange: Exchange, code: number): void {
    // What arrives behind it may have been sent before the client knew, even on a stream that it had ended.
    this.#resetStream(exchange.id, code, false);
    this.#streams.delete(exchange.id);
    exchange.gone();
    this.#endWhenIdle();
  }
  #endWhenIdle(): void {
    if (this.#closing && !this.#closed && this.#streams.size === 0) this.#writer.end();
  }
  #goAway(code: number, reason: string): void {
    const text = Buffer.from(reason);
    const payload = Buffer.alloc(8 + text.length);
    payload.writeUInt32BE(this.#lastStreamId, 0);
    payload.writeUInt32BE(code, 4);
    text.copy(payload, 8);
    this.#writer.control(frame(FrameType.GoAway, 0, 0, payload));
  }
  /** Says why, and ends. */
  #fail(error: Http2Error): void {
    this.#goAway(error.code, error.message);
    this.#closing = true;
    const { socket } = this.#deps;
    socket.removeAllListeners("data");
    socket.resume();
    this.#cancelGoodbye = this.#deps.clock.schedule(GOODBYE_MS, () => this.destroy(error));
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const exchange of streams) exchange.gone();
    this.#writer.end();
  }
}

const EMPTY = Buffer.alloc(0);

function isMalformed(head: RequestHead | Malformed): head is Malformed {
  return "malformed" in head;
}
