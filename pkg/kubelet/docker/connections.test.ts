import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { RealClock, silentLogger, SpawnRunner } from "#pkg/util/index.ts";
import { DockerRuntime } from "./docker-runtime.ts";

describe("a daemon that dies under a call", () => {
  const folder = mkdtempSync(join(tmpdir(), "docker-connections-"));
  let answer: (socket: Socket) => void;
  let server: Server;
  let runtime: DockerRuntime;
  before(async () => {
    server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => answer(socket));
    });
    await new Promise<void>((resolve) => server.listen(join(folder, "docker.sock"), resolve));
    runtime = new DockerRuntime({
      socketPath: join(folder, "docker.sock"),
      cniConfDir: folder,
      cniBinDir: folder,
      stateDir: folder,
      commands: new SpawnRunner(),
      clock: new RealClock(),
      log: silentLogger,
    });
  });
  after(() => {
    runtime.close();
    server.close();
    rmSync(folder, { recursive: true });
  });

  test("before it has answered: it is away", async () => {
    answer = (socket) => socket.destroy();
    await assert.rejects(runtime.version(), { code: "Unavailable" });
  });
  test("in the middle of its answer: it is away", async () => {
    answer = (socket) =>
      socket.end(
        'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"Ver\r\n',
      );
    await assert.rejects(runtime.version(), { code: "Unavailable" });
  });
  test("once it is there again, it is heard", async () => {
    const body = JSON.stringify({ Version: "20.10.24", ApiVersion: "1.41" });
    answer = (socket) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    assert.equal((await runtime.version()).version, "20.10.24");
  });
});
