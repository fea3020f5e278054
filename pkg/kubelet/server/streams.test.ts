import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { WebSocket } from "ws";
import { RealClock, silentLogger } from "#pkg/util/index.ts";
import type { Runtime, RuntimeContainerStatus } from "../cri/runtime.ts";
import { type CommandHandler, StreamingServer } from "../docker/streaming-server.ts";
import { Streams } from "./streams.ts";

const PROTOCOL = "v5.channel.k8s.io";
/** Answers the first thing that it is told, and ends. */
const answer: CommandHandler = async ({ stdin, stdout }) => {
  const [chunk] = (await once(stdin!, "data")) as [Buffer];
  stdout!.write(chunk);
  return 0;
};
let command = answer;
const runtime = new StreamingServer({ clock: new RealClock(), log: silentLogger });
/** Goes without a word as soon as it is connected to. */
const mute = createServer().on("upgrade", (_request, socket) =>
  socket.end("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n"),
);
/** Where the runtime says to go, when that is not the command. */
let elsewhere: string | undefined;
let refusal: unknown;
const exec = async () => elsewhere ?? runtime.command(["stdin", "stdout"], command);
let state: "Running" | "Exited" = "Running";
const containerStatus = async () => ({ state }) as RuntimeContainerStatus;
const streams = new Streams(
  { exec, attach: exec, containerStatus } as Partial<Runtime> as Runtime,
  new RealClock(),
  silentLogger,
);
const server = createServer();
let verb: "exec" | "attach" = "exec";
server.on("upgrade", (request, socket, head) => {
  const query = new URLSearchParams("stdin=1&stdout=1&command=x");
  socket.on("error", () => undefined);
  const signal = AbortSignal.timeout(60_000);
  streams.remoteCommand(verb, "c", { request, query, socket, head, signal }).catch((err: unknown) => {
    refusal = err;
    socket.destroy();
  });
});
const urlOf = (other: Server) => `http://127.0.0.1:${(other.address() as AddressInfo).port}/`;
const port = () => (server.address() as AddressInfo).port;

before(async () => {
  await Promise.all([server, mute].map((each) => once(each.listen(0, "127.0.0.1"), "listening")));
});
after(() => {
  server.close();
  mute.close();
  runtime.close();
});

/** Speaks until the command has ended; resolves to what came on the channels of output and of errors. */
async function speak(more: (client: WebSocket) => unknown): Promise<{ out: string; status: string; message?: string }> {
  const client = new WebSocket(`ws://127.0.0.1:${port()}/`, [PROTOCOL]);
  const messages: Buffer[] = [];
  client.on("message", (data: Buffer) => messages.push(data));
  await once(client, "open");
  const closed = once(client, "close");
  await more(client);
  await closed;
  const on = (channel: number) =>
    messages.flatMap((data) => (data[0] === channel ? [data.toString("utf8", 1)] : [])).join("");
  return { out: on(1), ...(JSON.parse(on(3)) as { status: string; message?: string }) };
}

/** Until nothing of what the client has sent is taken any more: either all has been, or the rest waits. */
async function nothingTaken(client: WebSocket): Promise<void> {
  for (let before = Infinity, still = 0; still < 20; before = client.bufferedAmount) {
    await delay(25);
    still = client.bufferedAmount === before ? still + 1 : 0;
  }
}

test("a client that writes on after its command has ended hears of the end, and troubles nobody", async () => {
  const { out, status } = await speak((client) => {
    const line = Buffer.from("\0yes\n");
    const flood = () => {
      if (client.readyState === client.OPEN) client.send(line, () => setImmediate(flood));
    };
    flood();
  });
  assert.match(out, /^yes\n/);
  assert.equal(status, "Success");
});

test("what is no message ends its client's connection and no other", async () => {
  const frames = [
    Buffer.from([0x8f, 0x80, 0, 0, 0, 0]), // of a kind that there is not
    Buffer.from([0x82, 0x05, 1, 2, 3, 4, 5]), // not masked
    Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), // of too many bytes
  ];
  for (const frame of frames) {
    const socket = connect(port(), "127.0.0.1");
    socket.on("error", () => undefined);
    socket.resume();
    socket.write(
      `GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: ${PROTOCOL}\r\n\r\n`,
    );
    socket.write(frame);
    await once(socket, "close");
  }
  // Messages that mean nothing are no reason to end anything.
  const { out } = await speak((client) => {
    for (const message of ["", "\x04no size", "\xff", "\x09", "\0hello"]) client.send(Buffer.from(message, "latin1"));
  });
  assert.equal(out, "hello");
});

test("a client that goes while nothing is read of it is missed soon", async () => {
  const missed = Promise.withResolvers<void>();
  command = async () => {
    await missed.promise;
    return 0;
  };
  const connections = promisify(server.getConnections.bind(server));
  const before = await connections();
  const client = new WebSocket(`ws://127.0.0.1:${port()}/`, [PROTOCOL]);
  await once(client, "open");
  const chunk = Buffer.alloc(1024 * 1024);
  for (let i = 0; i < 40; i++) client.send(chunk);
  await nothingTaken(client);
  assert.equal(await connections(), before + 1);
  client.terminate();
  while ((await connections()) > before) await delay(25);
  missed.resolve();
  command = answer;
});

test("what a command does not read stays with the client", async () => {
  const MANY = 40 * 1024 * 1024; // more than the kernel keeps for both connections
  const read = Promise.withResolvers<void>();
  let got = 0;
  command = async ({ stdin, stdout }) => {
    await read.promise;
    for await (const chunk of stdin as AsyncIterable<Buffer>) if ((got += chunk.length) === MANY) break;
    stdout!.write(String(got));
    return 0;
  };
  const { out } = await speak(async (client) => {
    for (let sent = 0; sent < MANY; sent += 1024 * 1024)
      client.send(Buffer.concat([Buffer.from([0]), Buffer.alloc(1024 * 1024)]));
    await nothingTaken(client);
    assert.ok(client.bufferedAmount > MANY / 8, `${client.bufferedAmount} bytes wait with the client`);
    read.resolve();
  });
  command = answer;
  assert.equal(out, String(MANY));
});

test("silence of the runtime is success for who was attached to a container that has ended, and for nobody else", async () => {
  elsewhere = urlOf(mute);
  const said: string[] = [];
  for ([verb, state] of [
    ["attach", "Exited"],
    ["attach", "Running"],
    ["exec", "Exited"],
  ] as const)
    said.push((await speak(() => undefined)).status);
  [verb, elsewhere] = ["exec", undefined];
  assert.deepEqual(said, ["Success", "Failure", "Failure"]);
});

test("what kept a command from running is told as a failure of who ran it, and its exit code as it is", async () => {
  const said: (string | undefined)[] = [];
  for (command of [() => Promise.reject(new Error("no such command")), async () => 3])
    said.push((await speak(() => undefined)).message);
  command = answer;
  assert.deepEqual(said, [
    "Internal error occurred: no such command",
    "command terminated with non-zero exit code: exit status 3",
  ]);
});

test("of a runtime that is away or refuses, v5 hears on its channel of errors and older protocols in HTTP", async () => {
  const gone = "http://127.0.0.1:1/exec/x";
  const refusing = createServer().on("upgrade", (_request, socket) => {
    socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 11\r\nconnection: close\r\n\r\nno such one");
  });
  await once(refusing.listen(0, "127.0.0.1"), "listening");
  const refused = urlOf(refusing);
  const cases: [url: string, ofV5: RegExp, ofV4: { code?: number; statusCode?: number; message: RegExp }][] = [
    [
      gone,
      /^Internal error occurred: error sending request: Post "http:\/\/127.0.0.1:1\/exec\/x": dial tcp 127.0.0.1:1: connect: connection refused$/,
      { code: 500, message: /^error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused$/ },
    ],
    [
      refused,
      /^Internal error occurred: unable to upgrade connection: no such one$/,
      { statusCode: 404, message: /^no such one$/ },
    ],
  ];
  for (const [url, ofV5, ofV4] of cases) {
    elsewhere = url;
    const client = new WebSocket(`ws://127.0.0.1:${port()}/`, [PROTOCOL]);
    const closed = once(client, "close");
    const [message] = (await once(client, "message")) as [Buffer];
    const [code] = (await closed) as [number];
    const { message: text, ...status } = JSON.parse(message.toString("utf8", 1)) as Record<string, unknown>;
    assert.deepEqual([message[0], code], [3, 1000]);
    assert.match(text as string, ofV5);
    const cause = (text as string).slice("Internal error occurred: ".length);
    assert.deepEqual(status, {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      reason: "InternalError",
      details: { causes: [{ message: cause }] },
      code: 500,
    });
    await assert.rejects(once(new WebSocket(`ws://127.0.0.1:${port()}/`, ["v4.channel.k8s.io"]), "open"));
    assert.throws(() => {
      throw refusal;
    }, ofV4);
  }
  elsewhere = undefined;
  refusing.close();
});
