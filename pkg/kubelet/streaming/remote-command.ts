/**
 * exec and attach over WebSocket: terminated here and carried on to the runtime over SPDY, because only SPDY lets
 * stdin end while output goes on.
 */
import type { RawData, WebSocket } from "ws";
import { goQuote, internalError } from "#pkg/apimachinery/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import { channelCodec, feeding, pump } from "./channels.ts";
import { SPDY_HEADERS, type Upgraded } from "./dial.ts";
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

/** How the runtime is asked to run a command or to attach. */
export const REMOTE_COMMAND_HEADERS = { ...SPDY_HEADERS, "x-stream-protocol-version": ["v4.channel.k8s.io"] };

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;
const CLOSE = 255;

/** Which streams a command is run with. */
export interface RemoteCommandOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** What a client is told when its command could not be run, or nobody knows how it ended. */
const failureReport = (why: string): Buffer => Buffer.from(JSON.stringify(internalError(why).status));

/** Said when the runtime went without a word: silence would read as success, which it is not always. */
const NO_REPORT = "the runtime closed the connection before it said how the command ended";
const SUCCESS = Buffer.from(JSON.stringify({ metadata: {}, status: "Success" }));

/** The old protocols report failure as text, and success not at all. */
function legacyError(status: Buffer): Buffer | undefined {
  try {
    const parsed = JSON.parse(status.toString("utf8")) as { status?: string; message?: string };
    return parsed.status === "Success" ? undefined : Buffer.from(parsed.message ?? "unknown error");
  } catch {
    return status; // already text
  }
}

/**
 * The runtime's report as upstream tells clients of v5 (KEP-4006), who speak with an intermediary that is itself a client of
 * the runtime: exit codes pass as they are, all else is a failure within it.
 */
function retold(status: Buffer): Buffer {
  let report: { status?: string; message?: string; reason?: string };
  try {
    report = JSON.parse(status.toString("utf8")) as typeof report;
  } catch {
    return failureReport(`error stream protocol error: ${goQuote(status.toString("utf8"))}`);
  }
  if (report.status !== "Failure" || report.reason === "NonZeroExitCode") return status;
  return failureReport(report.message ?? "");
}

/**
 * Tells a client of v5 what went wrong after its handshake, and ends as if nothing had: of a connection that ends in any
 * other way kubectl shows only that.
 */
export function reportFailure(socket: WebSocket, why: string): void {
  if (socket.readyState === socket.OPEN) socket.send(channelCodec(socket.protocol).encode(ERROR, failureReport(why)));
  socket.close(1000);
}

/**
 * Bridges until the command has ended or either side has gone. `silenceIsEnd` is asked when the runtime went without a
 * word: whether that is how the command ended. @throws what `dial` throws
 */
export async function bridgeRemoteCommand(
  socket: WebSocket,
  dial: () => Promise<Upgraded>,
  options: RemoteCommandOptions,
  clock: Clock,
  signal: AbortSignal,
  silenceIsEnd: () => Promise<boolean>,
): Promise<void> {
  const protocol = socket.protocol;
  const modern = protocol.startsWith("v4") || protocol.startsWith("v5");
  const retelling = (said: Buffer): Buffer => (protocol.startsWith("v5") ? retold(said) : said);
  const codec = channelCodec(protocol);
  const early: RawData[] = [];
  const collect = (data: RawData) => early.push(data);
  socket.on("message", collect);
  const upgraded = await dial();
  const session = new SpdySession(upgraded.socket, { role: "client", head: upgraded.head });
  const open = (type: string) => session.open({ streamtype: type });
  const error = open("error");
  const stdin = options.stdin ? open("stdin") : undefined;
  const stdout = options.stdout ? open("stdout") : undefined;
  const stderr = options.stderr && !options.tty ? open("stderr") : undefined;
  const resize = options.tty ? open("resize") : undefined;

  // Tells old clients that the connection stands.
  socket.send(codec.encode(options.stdout ? STDOUT : options.stderr ? STDERR : ERROR, Buffer.alloc(0)));
  const feed = stdin === undefined ? undefined : feeding(stdin, socket, clock);
  const receive = (raw: RawData) => {
    const { channel, data } = codec.decode(raw);
    if (channel === STDIN) feed?.(data);
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
    stdout === undefined ? undefined : pump(stdout, STDOUT, socket, codec),
    stderr === undefined ? undefined : pump(stderr, STDERR, socket, codec),
  ];
  const status = collectStream(error);
  await Promise.all([...outputs, status, Promise.race([session.closed, status])]);
  const said = await status;
  const report = said.length > 0 ? retelling(said) : (await silenceIsEnd()) ? SUCCESS : failureReport(NO_REPORT);
  const shown = modern ? report : legacyError(report);
  if (shown !== undefined && shown.length > 0 && socket.readyState === socket.OPEN)
    socket.send(codec.encode(ERROR, shown));
  signal.removeEventListener("abort", onAbort);
  socket.close(1000);
  session.close();
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
