import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { SeededRandom } from "#pkg/util/index.ts";
import type { Store } from "../store.ts";
import { openSqliteStore } from "./sqlite-store.ts";

const ROUNDS = 6;

interface Acknowledged {
  readonly revision: number;
  readonly key: string;
  /** undefined: deleted. */
  readonly length: number | undefined;
}

/** Lets the writer work for a while, kills it, and returns what it had been promised. */
async function writeAndKill(path: string, round: number, runMs: number): Promise<Acknowledged[]> {
  const fixture = new URL("./crash-writer.fixture.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [fixture, path, String(round)], { stdio: ["ignore", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  const closed = once(child, "close");
  await new Promise<void>((resolve, reject) => {
    child.once("close", () => reject(new Error("the writer ended by itself")));
    child.stdout.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (/^ack .*\n/m.test(Buffer.concat(chunks).toString())) resolve();
    });
  });
  await new Promise((resolve) => setTimeout(resolve, runMs));
  child.kill("SIGKILL");
  await closed;
  const lines = Buffer.concat(chunks).toString().split("\n");
  lines.pop(); // The last may have been cut off.
  return lines
    .filter((line) => line.startsWith("ack "))
    .map((line) => line.split(" "))
    .map(([, revision, key, length]) => ({
      revision: Number(revision),
      key: key!,
      length: length === "-" ? undefined : Number(length),
    }));
}

async function verify(store: Store, acknowledged: readonly Acknowledged[]): Promise<void> {
  const current = await store.currentRevision();
  const { kvs } = await store.range("/");
  const present = new Map(kvs.map((kv) => [kv.key, kv]));
  for (const { key, value } of kvs) {
    const text = Buffer.from(value).toString();
    assert.equal(createHash("sha256").update(text.slice(64)).digest("hex"), text.slice(0, 64), `${key} is torn`);
  }
  const last = new Map<string, Acknowledged>();
  for (const write of acknowledged) {
    assert.ok(write.revision <= current, `revision ${write.revision} of ${write.key} is lost`);
    if ((last.get(write.key)?.revision ?? 0) < write.revision) last.set(write.key, write);
  }
  for (const { revision, key, length } of last.values()) {
    const kv = present.get(key);
    // A later write, or deletion of what the writer deletes at times, may have reached the disk without its
    // acknowledgement having reached us.
    if (kv === undefined) {
      assert.ok(length === undefined || key.startsWith("/hot/"), `${key} is lost`);
      continue;
    }
    if (kv.modRevision > revision) continue;
    assert.equal(kv.modRevision, revision, key);
    assert.equal(kv.value.length, length, key);
  }
}

it("a killed process loses no acknowledged write and leaves none in part", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "kubits-crash-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "store.db");
  const random = new SeededRandom(7);
  const acknowledged: Acknowledged[] = [];
  let revision = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const before = acknowledged.length;
    acknowledged.push(...(await writeAndKill(path, round, 60 + random.int(200))));
    assert.ok(acknowledged.length > before, "the writer wrote nothing");
    const store = await openSqliteStore({ path });
    await verify(store, acknowledged);
    const now = await store.currentRevision();
    assert.ok(now > revision);
    revision = now;
    const empty = Buffer.from(createHash("sha256").update("").digest("hex"));
    assert.equal(
      (await store.write({ key: "/marker", value: empty })).revision,
      now + 1,
      "revisions go on without a gap",
    );
    await store.close();
  }
});
