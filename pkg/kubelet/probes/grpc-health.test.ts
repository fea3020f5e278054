import assert from "node:assert/strict";
import { after, before, mock, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { listen, unaryMethod } from "../testing/grpc.ts";
import { checkGrpc } from "./grpc-health.ts";

const server = new grpc.Server();
let port: number;
before(async () => {
  server.addService(
    { Check: unaryMethod("/grpc.health.v1.Health/Check") },
    {
      Check: ({ request }: { request: Buffer }, answer: grpc.sendUnaryData<Buffer>) =>
        answer(null, Buffer.from([8, request.includes("ailing") ? 2 : 1])),
    },
  );
  port = await listen(server, "127.0.0.1:0");
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
