import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { checkHttp, checkTcp } from "./net.ts";

const server = createServer((request, response) => {
  if (request.url === "/silent") return;
  if (request.url === "/gone") return void request.socket.destroy();
  if (request.url === "/loop") return void response.writeHead(302, { location: "/loop" }).end();
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

test("failures are told with the address they were met at", async () => {
  const url = `http://127.0.0.1:${port}`;
  assert.equal((await http("/gone", 5000)).output, `Get "${url}/gone": EOF`);
  assert.equal((await http("/loop", 5000)).output, `Get "${url}/loop": stopped after 10 redirects`);
  const refused = { scheme: "HTTP", host: "127.0.0.1", port: 80, path: "/x?y", headers: [], userAgent: "" } as const;
  const aborted = await checkHttp({ ...refused, timeoutMs: 0 }, never);
  assert.match(aborted.output, /^Get "http:\/\/127\.0\.0\.1:80\/x\?y": /, "also a port that goes without saying");
});

test("a container that does not answer fails when its time is over", async () => {
  assert.deepEqual(await http("/silent", 100), {
    result: "Failure",
    output: `Get "http://127.0.0.1:${port}/silent": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
  });
});
