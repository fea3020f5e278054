import assert from "node:assert/strict";
import { after, before, mock, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { checkGrpc } from "./grpc-health.ts";

const bytes = (value: Buffer) => value;
const server = new grpc.Server();
let port: number;
before(async () => {
  const check = {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  server.addService(
    { Check: check },
    {
      Check: ({ request }: { request: Buffer }, answer: grpc.sendUnaryData<Buffer>) =>
        answer(null, Buffer.from([8, request.includes("ailing") ? 2 : 1])),
    },
  );
  port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
});
after(() => server.forceShutdown());

const ask = (service: string) => checkGrpc("127.0.0.1", port, service, "test", 2000, new AbortController().signal);

test("a service's health is what it says of itself", async () => {
  assert.deepEqual(await ask(""), { result: "Success", output: "service healthy" });
  const ailing = { result: "Failure", output: 'service unhealthy (responded with "NOT_SERVING")' };
  assert.deepEqual(await ask("ailing"), ailing);
});

test("a clock that has been set ends no call", async () => {
  for (const hours of [24, -24]) {
    mock.timers.enable({ apis: ["Date"], now: Date.now() + hours * 3_600_000 });
    try {
      assert.equal((await ask("")).result, "Success", `${hours} hours`);
    } finally {
      mock.timers.reset();
    }
  }
});
