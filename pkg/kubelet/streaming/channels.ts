/** What exec, attach and port forwarding over WebSocket share: numbered channels in messages, each a stream of bytes. */
import type { RawData, WebSocket } from "ws";
import type { Clock } from "#pkg/util/index.ts";
import type { SpdyStream } from "./spdy.ts";

/** Beyond this the client is slower than the container: reading from it pauses. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/** How one subprotocol writes a channel's number beside its bytes. */
export interface ChannelCodec {
  encode(channel: number, data: Buffer): Buffer | string;
  decode(message: RawData): { channel: number; data: Buffer };
}

function bytesOf(data: RawData): Buffer {
  return Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

/** How channel and payload lie in a message: one byte before binary data, one digit before base64. */
export function channelCodec(protocol: string): ChannelCodec {
  if (!protocol.includes("base64")) {
    return {
      encode: (channel: number, data: Buffer): Buffer | string => Buffer.concat([Buffer.from([channel]), data]),
      decode: (message) => {
        const bytes = bytesOf(message);
        return { channel: bytes[0] ?? -1, data: bytes.subarray(1) };
      },
    };
  }
  return {
    encode: (channel: number, data: Buffer): Buffer | string => `${channel}${data.toString("base64")}`,
    decode: (message) => {
      const bytes = bytesOf(message);
      return { channel: (bytes[0] ?? 0) - 0x30, data: Buffer.from(bytes.toString("latin1", 1), "base64") };
    },
  };
}

/** Sends what a stream brings on a channel, at the pace of the slower side. */
export async function pump(
  stream: SpdyStream,
  channel: number,
  socket: WebSocket,
  { encode }: ChannelCodec,
): Promise<void> {
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (socket.readyState !== socket.OPEN) return;
      await new Promise<void>((resolve) => {
        socket.send(encode(channel, chunk), () => {
          if (socket.bufferedAmount > MAX_BUFFERED_BYTES) setImmediate(resolve);
          else resolve();
        });
      });
    }
  } catch {
    return; // the connection is gone, which its other end notices by itself
  }
}

/** How soon it shows that a client which nothing is read of has gone: what is sent to it has no way then. */
const HEARTBEAT_MS = 2000;

/** Hands on what comes for a stream. While that is full nothing more is read of the client, whose own writes then wait. */
export function feeding(stream: SpdyStream, socket: WebSocket, clock: Clock): (data: Buffer) => void {
  let stopHeart: (() => void) | undefined;
  const beat = () => {
    socket.ping();
    stopHeart = clock.schedule(HEARTBEAT_MS, beat);
  };
  const goOn = () => {
    stopHeart?.();
    stopHeart = undefined;
    socket.resume();
  };
  socket.on("close", () => stopHeart?.());
  stream.on("drain", goOn);
  // What comes for a stream that has gone is read away.
  stream.on("close", goOn);
  return (data) => {
    if (stream.write(data) || stream.destroyed) return;
    socket.pause();
    stopHeart ??= clock.schedule(HEARTBEAT_MS, beat);
  };
}
