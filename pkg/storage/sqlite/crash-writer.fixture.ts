import { createHash } from "node:crypto";
import { writeSync } from "node:fs";
import { openSqliteStore } from "./sqlite-store.ts";

/** Run as a process of its own, to be killed: writes as fast as it can and tells each acknowledged write. */
const [path = "", round = ""] = process.argv.slice(2);
const store = await openSqliteStore({ path });
const revision = await store.currentRevision();
writeSync(1, `open ${revision}\n`);

async function write(writer: number): Promise<void> {
  for (let i = 0; ; i++) {
    const body = `${round}-${writer}-${i}-${"x".repeat((i * 37) % 5000)}`;
    const value = Buffer.from(`${createHash("sha256").update(body).digest("hex")}${body}`);
    // Every tenth key is written again and again; some are deleted.
    const key = i % 10 === 0 ? `/hot/${writer}` : `/cold/${round}/${writer}/${i}`;
    const result = await store.write({ key, value: i % 30 === 0 && i > 0 ? undefined : value });
    writeSync(1, `ack ${result.revision} ${key} ${i % 30 === 0 && i > 0 ? "-" : value.length}\n`);
    if (i % 200 === 199 && writer === 0) void store.compact(result.revision - 500);
  }
}
await Promise.all(Array.from({ length: 20 }, (_, writer) => write(writer)));
