/**
 * A program for tests: lives inside one network namespace and does there what it is told, one JSON object per line on its
 * standard input, answered one line each. It can listen, send packets, run commands and be the node's service proxy.
 */
import { createSocket } from "node:dgram";
import { type Server, createServer, connect } from "node:net";
import { createInterface } from "node:readline";
import { request as httpRequest } from "node:http";
import { RealClock, SpawnRunner } from "#pkg/util/index.ts";
import { NodeUnderTest, type ProxyOptions } from "./node-under-test.ts";

export type Command =
  | {
      readonly op: "listen";
      readonly protocol: "TCP" | "UDP";
      readonly port: number;
      readonly name: string;
      readonly address?: string;
    }
  | {
      readonly op: "tcp" | "udp";
      readonly host: string;
      readonly port: number;
      readonly from?: { ip?: string; port?: number };
      readonly timeoutMs?: number;
    }
  | { readonly op: "http"; readonly url: string }
  | { readonly op: "rate"; readonly host: string; readonly port: number; readonly seconds: number }
  | {
      readonly op: "run";
      readonly file: string;
      readonly args: readonly string[];
      readonly stdin?: string;
      readonly env?: Record<string, string>;
    }
  | { readonly op: "proxy"; readonly options: ProxyOptions }
  | { readonly op: "set" | "delete"; readonly kind: string; readonly object: unknown }
  | { readonly op: "cleanup"; readonly mode: string }
  | { readonly op: "stop" };

const runner = new SpawnRunner();
const clock = new RealClock();
const servers: Server[] = [];
const node = new NodeUnderTest(runner, clock);

function plain(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:/, "");
}

function listen({ protocol, port, name, address = "::" }: Extract<Command, { op: "listen" }>): Promise<string> {
  return new Promise((resolve, reject) => {
    if (protocol === "TCP") {
      const server = createServer((socket) => {
        socket.on("error", () => socket.destroy());
        socket.end(`${name} ${plain(socket.remoteAddress)}`);
        socket.resume();
      });
      servers.push(server);
      server.once("error", reject).listen(port, address, () => resolve("listening"));
      return;
    }
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    socket.on("message", (_message, from) => {
      socket.send(`${name} ${plain(from.address)}`, from.port, from.address);
    });
    socket.once("error", reject).bind(port, address, () => resolve("listening"));
  });
}

function tcp({
  host,
  port,
  from,
  timeoutMs = 1500,
}: {
  host: string;
  port: number;
  from?: { ip?: string; port?: number };
  timeoutMs?: number;
}) {
  return new Promise<string>((resolve) => {
    const socket = connect({
      host,
      port,
      ...(from?.ip === undefined ? {} : { localAddress: from.ip }),
      ...(from?.port === undefined ? {} : { localPort: from.port }),
    });
    let text = "";
    socket.setTimeout(timeoutMs, () => {
      socket.destroy();
      resolve("timeout");
    });
    socket.on("data", (data) => (text += data.toString()));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on("close", () => resolve(text === "" ? "closed" : text));
  });
}

function udp({
  host,
  port,
  from,
  timeoutMs = 800,
}: {
  host: string;
  port: number;
  from?: { ip?: string; port?: number };
  timeoutMs?: number;
}) {
  return new Promise<string>((resolve) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const finish = (text: string) => {
      clearTimeout(timer);
      socket.close();
      resolve(text);
    };
    const timer = setTimeout(() => finish("timeout"), timeoutMs);
    socket.on("message", (message) => finish(message.toString()));
    socket.on("error", (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    socket.bind({ port: from?.port ?? 0, ...(from?.ip === undefined ? {} : { address: from.ip }) }, () => {
      // Connected, so that a refusal by ICMP becomes an error of the socket.
      socket.connect(port, host, () => socket.send("hello"));
    });
  });
}

/** TCP connections per second, one after the other, each with its answer. */
async function rate({ host, port, seconds }: { host: string; port: number; seconds: number }): Promise<number> {
  const begun = clock.monotonic();
  let count = 0;
  while (clock.monotonic() - begun < seconds * 1000) {
    const answer = await tcp({ host, port });
    if (!answer.includes(" ")) throw new Error(`${host}:${port} answered ${answer}`);
    count++;
  }
  return (count * 1000) / (clock.monotonic() - begun);
}

function http(url: string) {
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const request = httpRequest(url, { timeout: 1500 }, (response) => {
      let body = "";
      response.on("data", (data) => (body += String(data)));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    request.on("error", reject).end();
  });
}

async function perform(command: Command): Promise<unknown> {
  switch (command.op) {
    case "listen":
      return listen(command);
    case "tcp":
      return tcp(command);
    case "udp":
      return udp(command);
    case "rate":
      return rate(command);
    case "http":
      return http(command.url);
    case "run":
      return runner.run(command.file, command.args, {
        allowFailure: true,
        ...(command.stdin === undefined ? {} : { stdin: command.stdin }),
        ...(command.env === undefined ? {} : { env: { PATH: process.env["PATH"] ?? "", ...command.env } }),
      });
    case "proxy":
      return node.start(command.options);
    case "set":
      return node.set(command.kind, command.object);
    case "delete":
      return node.delete(command.kind, command.object);
    case "cleanup":
      return node.cleanup(command.mode);
    case "stop":
      return node.stop();
  }
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { id, command } = JSON.parse(line) as { id: number; command: Command };
    perform(command).then(
      (result) => console.log(JSON.stringify({ id, result: result ?? null })),
      (error: unknown) => console.log(JSON.stringify({ id, error: String(error) })),
    );
  })
  .on("close", () => process.exit(0));
