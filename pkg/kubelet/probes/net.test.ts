import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { checkHttp, checkTcp } from "./net.ts";

const server = createServer((request, response) => {
  if (request.url === "/silent") return;
  response.end("well");
});
let port: number;
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ({ port } = server.address() as AddressInfo);
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const never = new AbortController().signal;
const http = (path: string, timeoutMs: number) =>
  checkHttp(
    { scheme: "HTTP", host: "127.0.0.1", port, path, headers: [], userAgent: "kube-probe/1.36", timeoutMs },
    never,
  );

/** Keeps this process from running, as a machine does that has too much to do. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test("a container is not blamed for time in which its kubelet could not run", async () => {
  const checks = [http("/", 1000), checkTcp("127.0.0.1", port, 1000, never)];
  stall(1200);
  assert.deepEqual(await Promise.all(checks), [
    { result: "Success", output: "well" },
    { result: "Success", output: "" },
  ]);
});

test("a container that does not answer fails when its time is over", async () => {
  assert.deepEqual(await http("/silent", 100), {
    result: "Failure",
    output: `Get "http://127.0.0.1:${port}/silent": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
  });
});
