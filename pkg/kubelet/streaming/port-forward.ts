/**
 * Port forwarding over WebSocket for clients that do not speak SPDY: for each port one channel of data and one of
 * errors, each of which begins with the port's number.
 */
import type { RawData, WebSocket } from "ws";
import type { Clock } from "#pkg/util/index.ts";
import { channelCodec, feeding, pump } from "./channels.ts";
import { SPDY_HEADERS, type Upgraded } from "./dial.ts";
import { SpdySession } from "./spdy.ts";

/** Best first. */
export const PORT_FORWARD_PROTOCOLS = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"] as const;

/** How the runtime is asked to forward ports. */
export const PORT_FORWARD_HEADERS = { ...SPDY_HEADERS, "x-stream-protocol-version": "portforward.k8s.io" };

/** Bridges until every port's connection has ended or either side has gone. */
export async function bridgePorts(
  socket: WebSocket,
  upgraded: Upgraded,
  ports: readonly number[],
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const codec = channelCodec(socket.protocol);
  const session = new SpdySession(upgraded.socket, { role: "client", head: upgraded.head });
  const inputs = new Map<number, (data: Buffer) => void>();
  const outputs = ports.flatMap((port, index) => {
    const number = Buffer.alloc(2);
    number.writeUInt16LE(port);
    const common = { port: String(port), requestid: String(index) };
    const open = (streamtype: string, channel: number) => {
      socket.send(codec.encode(channel, number));
      return session.open({ streamtype, ...common });
    };
    // The runtime connects when it has both streams, the one for errors first.
    const errors = open("error", 2 * index + 1);
    const data = open("data", 2 * index);
    errors.end();
    inputs.set(2 * index, feeding(data, socket, clock));
    return [pump(errors, 2 * index + 1, socket, codec), pump(data, 2 * index, socket, codec)];
  });
  const receive = (message: RawData) => {
    const { channel, data } = codec.decode(message);
    inputs.get(channel)?.(data);
  };
  socket.on("message", receive);
  const stop = () => session.destroy();
  socket.on("close", stop);
  socket.on("error", stop);
  signal.addEventListener("abort", stop, { once: true });
  await Promise.all(outputs);
  signal.removeEventListener("abort", stop);
  socket.close(1000);
  session.close();
}
