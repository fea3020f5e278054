import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { HttpError } from "./http-error.ts";
import { serveNodeLogs } from "./node-logs.ts";

let directory: string;
const server = createServer((incoming, response) => {
  serveNodeLogs(join(directory, "log"), incoming.url ?? "/", incoming, response, new AbortController().signal).catch(
    (error: unknown) => {
      response.statusCode = error instanceof HttpError ? error.code : 500;
      response.end(String(error));
    },
  );
});
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "node-logs-"));
  await mkdir(join(directory, "log/pods"), { recursive: true });
  await writeFile(join(directory, "secret"), "secret");
  await writeFile(join(directory, "log/syslog"), "0123456789");
  await writeFile(join(directory, "log/empty"), "");
  await writeFile(join(directory, "log/wtmp"), Buffer.from([1, 0, 2]));
  await writeFile(join(directory, "log/a <b>&:c"), "odd");
  await symlink("../syslog", join(directory, "log/pods/inside"));
  await symlink("../../secret", join(directory, "log/pods/outside"));
  await symlink("..", join(directory, "log/up"));
  execFileSync("mkfifo", [join(directory, "log/pipe")]);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

function ask(path: string, headers: Record<string, string> = {}, method = "GET") {
  const { port } = server.address() as AddressInfo;
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    // The path goes as it is: fetch would tidy it up.
    const call = request({ host: "127.0.0.1", port, path, headers, method, agent: false }, (response) => {
      let body = "";
      response.on("data", (chunk) => (body += String(chunk)));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    call.on("error", reject);
    call.end();
  });
}

test("directories are listed, with a slash at the end of their names", async () => {
  const { status, headers, body } = await ask("/logs/");
  assert.deepEqual([status, headers["content-type"]], [200, "text/html; charset=utf-8"]);
  assert.match(body, /^<!doctype html>\n[^]*<pre>\n[^]*<a href="pods\/">pods\/<\/a>\n[^]*<\/pre>\n$/);
  assert.ok(body.includes('<a href="a%20%3Cb%3E%26%3Ac">a &lt;b&gt;&amp;:c</a>\n'), body);
  assert.equal((await ask("/logs/a%20%3Cb%3E%26%3Ac")).body, "odd");
  const moved = await ask("/logs/pods");
  assert.deepEqual([moved.status, moved.headers["location"]], [301, "pods/"]);
});

test("files come whole, in part, or as their head", async () => {
  const whole = await ask("/logs/syslog");
  assert.deepEqual([whole.status, whole.body, whole.headers["content-length"]], [200, "0123456789", "10"]);
  assert.equal(whole.headers["content-type"], "text/plain; charset=utf-8");
  assert.equal((await ask("/logs/wtmp")).headers["content-type"], "application/octet-stream");
  assert.equal((await ask("/logs/empty")).body, "");
  assert.equal((await ask("/logs/pods/inside")).body, "0123456789");
  for (const [range, status, body, shown] of [
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=8-", 206, "89", "bytes 8-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=4-2", 200, "0123456789", undefined],
    ["lines=1-2", 200, "0123456789", undefined],
    ["bytes=10-", 416, undefined, "bytes */10"],
  ] as const) {
    const answer = await ask("/logs/syslog", { range });
    assert.deepEqual([answer.status, answer.headers["content-range"]], [status, shown], range);
    if (body !== undefined) assert.equal(answer.body, body, range);
  }
  const head = await ask("/logs/syslog", {}, "HEAD");
  assert.deepEqual([head.status, head.body, head.headers["content-length"]], [200, "", "10"]);
  assert.equal((await ask("/logs/syslog", {}, "POST")).status, 405);
});

test("nothing outside of the root is shown, nothing that is not a file is opened", async () => {
  for (const path of [
    "/logs/../secret",
    "/logs/..%2fsecret",
    "/logs/%2e%2e/secret",
    "/logs//etc/passwd",
    "/logs/%2fetc/passwd",
    "/logs/pods/outside",
    "/logs/up/secret",
    "/logs/up/",
    "/logs/pipe",
    "/logs/absent",
    "/logs/syslog/x",
    "/logs/%00",
    `/logs/${"x".repeat(300)}`,
  ])
    assert.equal((await ask(path)).status, 404, path);
  assert.equal((await ask("/logs/%zz")).status, 400);
});
