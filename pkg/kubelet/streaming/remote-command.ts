/**
 * exec and attach over WebSocket: terminated here and carried on to the runtime over SPDY, because only SPDY lets
 * stdin end while output goes on.
 */
import type { RawData, WebSocket } from "ws";
import { dialUpgrade, SPDY_HEADERS } from "./dial.ts";
import { SpdySession } from "./spdy.ts";
import type { SpdyStream } from "./spdy.ts";

/** Best first. "" stands for clients that name none. */
export const REMOTE_COMMAND_PROTOCOLS = [
  "v5.channel.k8s.io",
  "v4.channel.k8s.io",
  "v4.base64.channel.k8s.io",
  "channel.k8s.io",
  "base64.channel.k8s.io",
] as const;

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;
const CLOSE = 255;
/** Beyond this the client is slower than the container: reading from it pauses. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

export interface RemoteCommandOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

function bytesOf(data: RawData): Buffer {
  return Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

/** How channel and payload lie in a message: one byte before binary data, one digit before base64. */
function codec(protocol: string) {
  if (!protocol.includes("base64")) {
    return {
      encode: (channel: number, data: Buffer): Buffer | string => Buffer.concat([Buffer.from([channel]), data]),
      decode: (message: Buffer) => ({ channel: message[0] ?? -1, data: message.subarray(1) }),
    };
  }
  return {
    encode: (channel: number, data: Buffer): Buffer | string => `${channel}${data.toString("base64")}`,
    decode: (message: Buffer) => ({
      channel: (message[0] ?? 0) - 0x30,
      data: Buffer.from(message.toString("latin1", 1), "base64"),
    }),
  };
}

/** The old protocols report failure as text, and success not at all. */
function legacyError(status: Buffer): Buffer | undefined {
  try {
    const parsed = JSON.parse(status.toString("utf8")) as { status?: string; message?: string };
    return parsed.status === "Success" ? undefined : Buffer.from(parsed.message ?? "unknown error");
  } catch {
    return status; // already text
  }
}

/** Bridges until the command has ended or either side has gone. */
export async function bridgeRemoteCommand(
  socket: WebSocket,
  runtimeUrl: string,
  options: RemoteCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const protocol = socket.protocol;
  const modern = protocol.startsWith("v4") || protocol.startsWith("v5");
  const { encode, decode } = codec(protocol);
  const early: RawData[] = [];
  const collect = (data: RawData) => early.push(data);
  socket.on("message", collect);
  const upgraded = await dialUpgrade(
    runtimeUrl,
    { ...SPDY_HEADERS, "x-stream-protocol-version": ["v4.channel.k8s.io"] },
    signal,
  );
  const session = new SpdySession(upgraded.socket, { role: "client", head: upgraded.head });
  const open = (type: string) => session.open({ streamtype: type });
  const error = open("error");
  const stdin = options.stdin ? open("stdin") : undefined;
  const stdout = options.stdout ? open("stdout") : undefined;
  const stderr = options.stderr && !options.tty ? open("stderr") : undefined;
  const resize = options.tty ? open("resize") : undefined;

  // Tells old clients that the connection stands.
  socket.send(encode(options.stdout ? STDOUT : options.stderr ? STDERR : ERROR, Buffer.alloc(0)));
  const receive = (raw: RawData) => {
    const { channel, data } = decode(bytesOf(raw));
    if (channel === STDIN) stdin?.write(data);
    else if (channel === RESIZE) resize?.write(data);
    else if (channel === CLOSE && data[0] === STDIN) stdin?.end();
  };
  socket.off("message", collect);
  for (const data of early) receive(data);
  socket.on("message", receive);
  socket.on("close", () => session.destroy());
  socket.on("error", () => session.destroy());
  const onAbort = () => session.destroy();
  signal.addEventListener("abort", onAbort, { once: true });

  const outputs = [
    stdout === undefined ? undefined : pump(stdout, STDOUT, socket, encode),
    stderr === undefined ? undefined : pump(stderr, STDERR, socket, encode),
  ];
  const status = collectStream(error);
  await Promise.all([...outputs, status, Promise.race([session.closed, status])]);
  const report = await status;
  const shown = modern ? report : legacyError(report);
  if (shown !== undefined && shown.length > 0 && socket.readyState === socket.OPEN) socket.send(encode(ERROR, shown));
  signal.removeEventListener("abort", onAbort);
  socket.close(1000);
  session.close();
}

async function pump(
  stream: SpdyStream,
  channel: number,
  socket: WebSocket,
  encode: (channel: number, data: Buffer) => Buffer | string,
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

async function collectStream(stream: SpdyStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  } catch {
    // The runtime went away before it could say how the command ended.
    return Buffer.concat(chunks);
  }
  return Buffer.concat(chunks);
}
