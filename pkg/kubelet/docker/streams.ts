import { PassThrough } from "node:stream";
import type { Duplex } from "node:stream";
import type { Container as DockerContainer } from "dockerode";
import type { CommandStreams } from "./streaming-server.ts";

/** Which channels the client asks for. */
export function wanted({
  stdin,
  stdout,
  stderr,
  tty,
}: {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}): ("stdin" | "stdout" | "stderr" | "resize")[] {
  return [
    ...(stdin ? (["stdin"] as const) : []),
    ...(stdout ? (["stdout"] as const) : []),
    ...(stderr && !tty ? (["stderr"] as const) : []),
    ...(tty ? (["resize"] as const) : []),
  ];
}

const MAX_EXEC_OUTPUT = 16 * 1024 * 1024;

/** Keeps what a command writes, up to a bound. */
export function collector(): { stream: PassThrough; bytes: () => Buffer } {
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAX_EXEC_OUTPUT) chunks.push(chunk);
  });
  return { stream, bytes: () => Buffer.concat(chunks) };
}

/** Joins a hijacked Docker connection with a client's streams; resolves when the process has ended. */
export async function connectStreams(
  container: DockerContainer,
  connection: Duplex,
  streams: CommandStreams,
  tty: boolean,
  resize: (size: { h: number; w: number }) => Promise<unknown>,
): Promise<void> {
  const { stdin, stdout, stderr } = streams;
  for (const stream of [stdin, stdout, stderr, streams.resize, connection])
    stream?.on("error", () => connection.destroy());
  stdin?.pipe(connection);
  streams.resize?.on("data", (chunk: Buffer) => {
    try {
      const { Width, Height } = JSON.parse(chunk.toString("utf8")) as { Width: number; Height: number };
      resize({ w: Width, h: Height }).catch(() => undefined); // the process may have ended meanwhile
    } catch {
      return; // not a whole message; the next one brings the size again
    }
  });
  const out = sinkFor(stdout);
  if (tty) connection.on("data", (chunk: Buffer) => out.write(chunk));
  else container.modem.demuxStream(connection, out, sinkFor(stderr));
  await new Promise<void>((resolve) => {
    connection.once("end", resolve);
    connection.once("close", resolve);
  });
}

/** A sink for output nobody asked for. */
function sinkFor(stream: Duplex | undefined): NodeJS.WritableStream {
  if (stream !== undefined) return stream;
  const sink = new PassThrough();
  sink.resume();
  return sink;
}
