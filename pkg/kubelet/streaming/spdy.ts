/** SPDY/3.1 as Kubernetes' streaming uses it: streams with headers over one connection, without flow control windows. */
import { Duplex } from "node:stream";
import { HeaderReader, HeaderWriter } from "./spdy-headers.ts";

const SYN_STREAM = 1;
const SYN_REPLY = 2;
const RST_STREAM = 3;
const PING = 6;
const GOAWAY = 7;
const VERSION = 3;
const FLAG_FIN = 1;
const RST_CANCEL = 5;
const HEAD_BYTES = 8;
/** Larger frames than this are an attack or a bug: peers write 32 KiB at a time. */
const MAX_FRAME_BYTES = 4 * 1024 * 1024;

/** One stream: a duplex whose end is FIN, half-closable in both directions. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly #session: SpdySession;
  #remoteEnded = false;
  #wrote = false;

  constructor(session: SpdySession, id: number, headers: Readonly<Record<string, string>>) {
    super({ allowHalfOpen: true });
    this.id = id;
    this.headers = headers;
    this.#session = session;
    // The peer may go at any time, and what is written then fails. Whoever minds hears of it as well; nobody has to.
    this.on("error", () => undefined);
  }
  /** The peer will send no more; what has arrived can still be read. */
  endRemote(): void {
    if (this.#remoteEnded) return;
    this.#remoteEnded = true;
    this.push(null);
    // Nobody reads on in a stream that has ended, and what it holds grows no more.
    this.#session.release(this);
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#wrote = true;
    this.#session.sendData(this.id, chunk, false, done);
  }
  override _final(done: (error?: Error | null) => void): void {
    this.#session.sendData(this.id, Buffer.alloc(0), true, done);
  }
  override _read(): void {
    this.#session.release(this);
  }
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // A peer that has said all and is owed nothing needs no reset. It may have closed the connection behind its last frame, and
    // an answer to that would cost us what has not been read yet: how the command ended.
    const owed = this.#wrote && !this.writableFinished;
    this.#session.forget(this.id, owed || !this.#remoteEnded);
    done(error);
  }
}

export class SpdySession {
  readonly #socket: Duplex;
  readonly #writer = new HeaderWriter();
  readonly #reader = new HeaderReader();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #onStream: (stream: SpdyStream) => void;
  /** Streams that hold more than they should until somebody reads them; while there is one, nothing is received. */
  readonly #full = new Set<SpdyStream>();
  #nextId: number;
  /** What has arrived and belongs to no whole frame yet: joined only once it is one, or long frames would be copied many times. */
  #parts: Buffer[] = [];
  #size = 0;
  /** How much of it makes a frame, as far as its head has told. */
  #needed = HEAD_BYTES;
  #busy = false;
  #drained: Promise<void> = Promise.resolve();
  #closed = false;
  readonly closed: Promise<void>;

  /** `head` is what came with the upgrade. The client uses odd stream ids. */
  constructor(
    socket: Duplex,
    options: { role: "client" | "server"; head?: Buffer; onStream?: (stream: SpdyStream) => void },
  ) {
    this.#socket = socket;
    this.#nextId = options.role === "client" ? 1 : 2;
    this.#onStream = options.onStream ?? ((stream) => stream.destroy());
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", () => undefined); // "close" follows, and that is what ends the session
    socket.on("close", () => {
      // What has arrived is still handled: the last frames often come right before the end.
      void this.#drained.then(() => {
        this.#end();
        resolve();
      });
    });
    if (options.head !== undefined && options.head.length > 0) this.#receive(options.head);
  }

  open(headers: Readonly<Record<string, string>>): SpdyStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = new SpdyStream(this, id, headers);
    this.#streams.set(id, stream);
    const block = this.#writer.encode(headers);
    const head = Buffer.alloc(10);
    head.writeUInt32BE(id, 0);
    this.#sendControl(SYN_STREAM, 0, Buffer.concat([head, block]));
    return stream;
  }

  close(): void {
    if (this.#closed) return;
    const body = Buffer.alloc(8);
    this.#sendControl(GOAWAY, 0, body);
    this.#socket.end();
    this.#end();
  }
  destroy(): void {
    this.#socket.destroy();
  }

  sendData(id: number, data: Buffer, fin: boolean, done: (error?: Error | null) => void): void {
    if (this.#closed) {
      done(new Error("the SPDY connection is closed"));
      return;
    }
    const head = Buffer.alloc(8);
    head.writeUInt32BE(id & 0x7fffffff, 0);
    head.writeUInt32BE(data.length, 4);
    head[4] = fin ? FLAG_FIN : 0;
    if (data.length > 0) {
      this.#socket.cork();
      this.#socket.write(head);
      this.#socket.write(data, done);
      this.#socket.uncork();
    } else this.#socket.write(head, done);
  }
  forget(id: number, reset: boolean): void {
    const stream = this.#streams.get(id);
    if (stream !== undefined) this.release(stream);
    if (!this.#streams.delete(id) || !reset || this.#closed) return;
    const body = Buffer.alloc(8);
    body.writeUInt32BE(id, 0);
    body.writeUInt32BE(RST_CANCEL, 4);
    this.#sendControl(RST_STREAM, 0, body);
  }
  /** The stream takes more, or needs no more. */
  release(stream: SpdyStream): void {
    if (this.#full.delete(stream) && this.#full.size === 0) this.#socket.resume();
  }

  #sendControl(type: number, flags: number, body: Buffer): void {
    if (this.#closed) return;
    const head = Buffer.alloc(8);
    head.writeUInt16BE(0x8000 | VERSION, 0);
    head.writeUInt16BE(type, 2);
    head.writeUInt32BE(body.length, 4);
    head[4] = flags;
    this.#socket.write(Buffer.concat([head, body]));
  }

  #receive(chunk: Buffer): void {
    this.#parts.push(chunk);
    this.#size += chunk.length;
    if (!this.#busy && this.#size >= this.#needed) this.#drained = this.#drain();
  }

  /** Frames are handled one after the other: header blocks share one compression state. */
  async #drain(): Promise<void> {
    this.#busy = true;
    try {
      while (this.#size >= this.#needed && !this.#closed) {
        const buffer = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#size);
        const length = buffer.readUInt32BE(4) & 0xffffff;
        if (length > MAX_FRAME_BYTES) throw new Error("a SPDY frame is too large");
        const end = HEAD_BYTES + length;
        const whole = buffer.length >= end;
        this.#parts = [whole ? buffer.subarray(end) : buffer];
        this.#needed = whole ? HEAD_BYTES : end;
        if (!whole) break;
        this.#size -= end;
        const body = buffer.subarray(HEAD_BYTES, end);
        if ((buffer[0]! & 0x80) === 0) this.#onData(buffer.readUInt32BE(0), buffer[4]!, body);
        else await this.#onControl(buffer.readUInt16BE(2), buffer[4]!, body);
      }
    } catch (error) {
      this.#socket.destroy(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#busy = false;
    }
  }

  #onData(id: number, flags: number, body: Buffer): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return; // reset by us a moment ago
    if (body.length > 0 && !stream.push(body)) {
      this.#full.add(stream);
      this.#socket.pause();
    }
    if ((flags & FLAG_FIN) !== 0) stream.endRemote();
  }

  async #onControl(type: number, flags: number, body: Buffer): Promise<void> {
    switch (type) {
      case SYN_STREAM: {
        const id = body.readUInt32BE(0) & 0x7fffffff;
        const headers = await this.#reader.decode(body.subarray(10));
        const stream = new SpdyStream(this, id, headers);
        this.#streams.set(id, stream);
        const reply = Buffer.alloc(4);
        reply.writeUInt32BE(id, 0);
        this.#sendControl(SYN_REPLY, 0, Buffer.concat([reply, this.#writer.encode({})]));
        if ((flags & FLAG_FIN) !== 0) stream.endRemote();
        this.#onStream(stream);
        return;
      }
      case SYN_REPLY:
        // Read for its effect on the compression state.
        await this.#reader.decode(body.subarray(4));
        return;
      case RST_STREAM: {
        const id = body.readUInt32BE(0) & 0x7fffffff;
        const stream = this.#streams.get(id);
        this.#streams.delete(id);
        stream?.endRemote();
        return;
      }
      case PING:
        // Peers answer our pings with our own id; only theirs need an answer.
        if ((body.readUInt32BE(0) & 1) !== (this.#nextId & 1)) this.#sendControl(PING, 0, Buffer.from(body));
        return;
      default:
        return; // GOAWAY ends with the connection; SETTINGS and WINDOW_UPDATE do not concern us
    }
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.close();
    // Readers keep what has arrived; writers learn of it at their next write.
    for (const stream of this.#streams.values()) stream.endRemote();
    this.#streams.clear();
  }
}
