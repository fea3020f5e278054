import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { test, type TestContext } from "node:test";
import { RealClock } from "#pkg/util/index.ts";
import { GrpcChannel, grpcMethod, GrpcStatus } from "./grpc.ts";

const METHOD = grpcMethod("/test.Test/Call");
const REQUEST = Buffer.from([0, 0, 0, 0, 1, 42]);

/** A server that gives each call the next of these answers, and how many calls there were. */
async function serve(t: TestContext, answers: ((stream: ServerHttp2Stream) => void)[]): Promise<string> {
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined); // The client may be gone.
    stream.resume().once("end", () => answers.shift()!(stream));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return `http://127.0.0.1:${address.port}`;
}

function open(t: TestContext, ...endpoints: string[]): GrpcChannel {
  const channel = new GrpcChannel(endpoints, {}, new RealClock());
  t.after(() => channel.close());
  return channel;
}

function answer(status: number, message = "", parts: readonly number[][] = [[0, 0, 0, 0, 2, 7, 8]]) {
  return (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": String(status), "grpc-message": message }));
    for (const part of parts) stream.write(Buffer.from(part));
    stream.end();
  };
}

test("puts an answer together from its pieces, and refuses what is none", async (t) => {
  const pieces = [
    [0, 0],
    [0, 0, 3, 1],
    [2, 3],
  ];
  const endpoint = await serve(t, [
    answer(0),
    answer(0, "", pieces),
    answer(0, "", []),
    answer(0, "", [[1, 0, 0, 0, 0]]),
    (stream) => {
      stream.respond({ ":status": 404 });
      stream.end("no such page");
    },
  ]);
  const channel = open(t, endpoint);
  assert.deepEqual([...(await channel.call(METHOD, REQUEST))], [7, 8]);
  assert.deepEqual([...(await channel.call(METHOD, REQUEST))], [1, 2, 3]);
  await assert.rejects(channel.call(METHOD, REQUEST), /without a message/);
  await assert.rejects(channel.call(METHOD, REQUEST), /compresses/);
  await assert.rejects(channel.call(METHOD, REQUEST), /HTTP status 404/);
});

test("fails with etcd's words, and says where on the way to it", async (t) => {
  const endpoint = await serve(t, [
    answer(GrpcStatus.Unavailable, "etcdserver: leader changed", []),
    answer(GrpcStatus.Internal, "out of%20luck", []),
    (stream) => stream.session!.destroy(),
  ]);
  const channel = open(t, endpoint);
  const failure = (status: number, message: string) => ({ name: "GrpcError", status, message, notSent: false });
  const call = () => channel.call(METHOD, REQUEST);
  await assert.rejects(call(), failure(GrpcStatus.Unavailable, "etcdserver: leader changed"));
  await assert.rejects(call(), failure(GrpcStatus.Internal, "rpc error: code = Internal desc = out of luck"));
  const dropped = "rpc error: code = Unavailable desc = Connection dropped";
  await assert.rejects(call(), failure(GrpcStatus.Unavailable, dropped));
});

test("goes to another endpoint when one is unavailable", async (t) => {
  const first = await serve(t, [answer(GrpcStatus.Unavailable, "etcdserver: no leader", [])]);
  const second = await serve(t, [answer(0), answer(0)]);
  const channel = open(t, first, second);
  await assert.rejects(channel.call(METHOD, REQUEST), /no leader/);
  for (let i = 0; i < 2; i++) assert.deepEqual([...(await channel.call(METHOD, REQUEST))], [7, 8]);
});

test("ends calls when it is closed", async (t) => {
  let reached = () => {};
  const arrived = new Promise<void>((resolve) => (reached = resolve));
  const channel = open(t, await serve(t, [() => reached()]));
  const call = channel.call(METHOD, REQUEST);
  await arrived;
  channel.close();
  await assert.rejects(call, { status: GrpcStatus.Cancelled });
  await assert.rejects(channel.call(METHOD, REQUEST), { status: GrpcStatus.Cancelled, notSent: true });
});
