import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { text } from "../contract-suite.ts";
import { SqliteDatabase } from "./database.ts";
import type { Operation } from "./protocol.ts";

const put = (key: string, value: string): Operation => ({
  key,
  value: Buffer.from(value),
  expectedModRevision: -1,
  expiresAt: 0,
});

it("a commit that fails leaves nothing behind", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "kubits-database-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "store.db");
  const database = new SqliteDatabase(path);
  database.commit([put("/a", "1")]);
  const before = database.revision;
  const unwritable: Operation = { ...put("/c", "1"), expiresAt: 0.5 };
  assert.throws(() => database.commit([put("/a", "2"), put("/b", "1"), unwritable]), /cannot store REAL/);
  assert.equal(database.revision, before);
  assert.equal(text(database.get("/a", undefined)?.value), "1");
  assert.equal(database.get("/b", undefined), undefined);
  const [outcome] = database.commit([put("/b", "2")]);
  assert.equal(outcome!.modRevision, before + 1);
  database.close();
  const again = new SqliteDatabase(path);
  assert.equal(again.revision, before + 1);
  assert.deepEqual(
    again.history("/", 1, before + 1).rows.map(({ key, value }) => [key, text(value)]),
    [
      ["/a", "1"],
      ["/b", "2"],
    ],
  );
  again.close();
});
