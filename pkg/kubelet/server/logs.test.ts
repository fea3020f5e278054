import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { appendFile, mkdtemp, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RealClock, SpawnRunner } from "#pkg/util/index.ts";
import { until } from "#pkg/util/testing/index.ts";
import { bytesRead } from "../testing/bytes-read.ts";
import { readLog, sendLog } from "./logs.ts";
import type { LogOptions } from "./logs.ts";

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "kubelet-logs-"));
});
after(() => rm(directory, { recursive: true }));

const line = (second: number, text: string, stream = "stdout", tag = "F") =>
  `2026-01-01T00:00:0${second}.000000000Z ${stream} ${tag} ${text}\n`;
const LOG = [
  line(1, "one"),
  line(2, "two-", "stdout", "P"),
  line(2, "end"),
  line(3, "bad", "stderr"),
  line(4, ""),
].join("");
const all: LogOptions = { follow: false, timestamps: false, stream: "All" };

async function read(options: Partial<LogOptions>, text = LOG): Promise<string> {
  const path = join(directory, "0.log");
  await writeFile(path, text);
  let result = "";
  for await (const chunk of readLog(
    { path, running: () => false },
    { ...all, ...options },
    new RealClock(),
    AbortSignal.timeout(5000),
  ))
    result += chunk.toString();
  return result;
}

const cases: [name: string, options: Partial<LogOptions>, expected: string][] = [
  ["everything", {}, "one\ntwo-end\nbad\n\n"],
  [
    "timestamps, once per line",
    { timestamps: true },
    "2026-01-01T00:00:01.000000000Z one\n2026-01-01T00:00:02.000000000Z two-end\n2026-01-01T00:00:03.000000000Z bad\n2026-01-01T00:00:04.000000000Z \n",
  ],
  ["the last two lines", { tailLines: 2 }, "bad\n\n"],
  ["no lines", { tailLines: 0 }, ""],
  ["more lines than there are", { tailLines: 100 }, "one\ntwo-end\nbad\n\n"],
  ["since a time", { since: Date.parse("2026-01-01T00:00:03Z") }, "bad\n\n"],
  ["at most so many bytes", { limitBytes: 5 }, "one\nt"],
  ["one stream", { stream: "Stderr" }, "bad\n"],
];
for (const [name, options, expected] of cases) test(name, async () => assert.equal(await read(options), expected));

test("Docker's own format is read as well", async () => {
  const entry = (log: string, stream: string) => `${JSON.stringify({ log, stream, time: "2026-01-01T00:00:01Z" })}\n`;
  const text =
    entry("one\n", "stdout") + entry("half ", "stdout") + entry("line\n", "stdout") + entry("bad\n", "stderr");
  assert.equal(await read({}, text), "one\nhalf line\nbad\n");
  assert.equal(await read({ timestamps: true, stream: "Stderr" }, text), "2026-01-01T00:00:01Z bad\n");
});

test("a log of many blocks has the right tail", async () => {
  const text = Array.from({ length: 20_000 }, (_, i) => line(1, `line ${i}`)).join("");
  assert.equal(await read({ tailLines: 3 }, text), "line 19997\nline 19998\nline 19999\n");
});

test("what is written while a log is read belongs to no tail", async () => {
  const path = join(directory, "busy.log");
  await writeFile(path, `${line(1, "one")}${line(2, "two")}2026-01-01T00:00:03.000000000Z stdout F th`);
  let running = 0;
  const read = async (options: Partial<LogOptions>) => {
    let result = "";
    // Asked after the tail is found and before it is read: that is when the container writes on.
    const source = { path, running: () => (appendFileSync(path, `ree\n${line(4, `n${running++}`)}`), true) };
    for await (const chunk of readLog(source, { ...all, ...options }, new RealClock(), AbortSignal.timeout(5000)))
      result += chunk.toString();
    return result;
  };
  assert.equal(await read({ tailLines: 1 }), "two\n", "neither the half line nor what came later");
  assert.equal(await read({ tailLines: 2 }), "three\nn0\n");
  assert.equal(await read({ tailLines: 0 }), "");
});

test("following sees what is appended, survives rotation, and ends with the container", async () => {
  const path = join(directory, "follow.log");
  await writeFile(path, line(1, "first"));
  let running = true;
  const chunks: string[] = [];
  const reading = (async () => {
    for await (const chunk of readLog(
      { path, running: () => running },
      { ...all, follow: true },
      new RealClock(),
      AbortSignal.timeout(120_000),
    ))
      chunks.push(chunk.toString());
  })();
  const seen = (text: string) => until(`${text} is sent`, () => chunks.join("").includes(text));
  await seen("first");
  await appendFile(path, line(2, "second"));
  await seen("second");
  await rename(path, `${path}.old`);
  await appendFile(`${path}.old`, line(3, "last of the old"));
  await writeFile(path, line(4, "first of the new"));
  await seen("first of the new");
  running = false;
  await reading;
  assert.equal(chunks.join(""), "first\nsecond\nlast of the old\nfirst of the new\n");
});

test("what is no log holds nobody up: a pipe and a link are refused, a line without end does not fill the memory", async () => {
  const path = join(directory, "pipe.log");
  await new SpawnRunner().run("mkfifo", [path]);
  const reading = readLog({ path, running: () => false }, all, new RealClock(), AbortSignal.timeout(5000));
  await assert.rejects(reading.next(), /pipe\.log is not a regular file/);
  const link = join(directory, "link.log");
  await symlink("/etc/hostname", link);
  const linked = readLog({ path: link, running: () => false }, all, new RealClock(), AbortSignal.timeout(5000));
  await assert.rejects(linked.next(), /link\.log is not a regular file/);
  const endless = await read({}, "x".repeat(3 * 1024 * 1024));
  assert.ok(endless.length >= 1024 * 1024, `${endless.length} characters`);
});

test("of a log of ten gigabytes only the end is read for its last lines, only the beginning for its first bytes", async () => {
  const path = join(directory, "huge.log");
  await writeFile(path, line(1, "first"));
  await truncate(path, 10 * 2 ** 30);
  await appendFile(path, `\n${line(2, "one before the last")}${line(3, "last")}`);
  const before = bytesRead();
  const said = async (options: Partial<LogOptions>) => {
    const chunks: Buffer[] = [];
    const source = { path, running: () => false };
    for await (const chunk of readLog(source, { ...all, ...options }, new RealClock(), AbortSignal.timeout(20_000)))
      chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  };
  assert.equal(await said({ tailLines: 2 }), "one before the last\nlast\n");
  assert.equal(await said({ limitBytes: 6 }), "first\n");
  assert.ok(bytesRead() - before < 2 ** 30);
});

/** Chunks without end; tells whether whoever read them has let go of them. */
class Endless {
  closed = false;
  readonly #beforeEach: () => void;
  constructor(beforeEach: () => void = () => undefined) {
    this.#beforeEach = beforeEach;
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        this.#beforeEach();
        yield Buffer.alloc(1024);
        await delay(1);
      }
    } finally {
      this.closed = true;
    }
  }
}
/** Somebody who takes so many bytes, then nothing more. As a response to a request does, it says when it is gone. */
function readerOf(bytes: number) {
  const gone = new AbortController();
  let taken = 0;
  const reader = new Writable({
    highWaterMark: 1024,
    write: (chunk: Buffer, _, done) => {
      taken += chunk.length;
      if (taken < bytes) done();
    },
  });
  reader.on("close", () => gone.abort());
  return { reader, signal: gone.signal, taken: () => taken };
}

test("a log is closed when its reader goes away between two chunks", async () => {
  const { reader, signal } = readerOf(Number.POSITIVE_INFINITY);
  let chunks = 0;
  const log = new Endless(() => {
    if (++chunks === 3) reader.destroy();
  });
  await sendLog(log, reader, signal);
  assert.equal(log.closed, true);
});

test("a log is closed when its reader goes away without having taken all", async () => {
  const { reader, signal, taken } = readerOf(2048);
  const log = new Endless();
  const sending = sendLog(log, reader, signal);
  while (taken() < 2048) await delay(1);
  reader.destroy();
  await assert.rejects(sending, { name: "AbortError" });
  assert.equal(log.closed, true);
});
