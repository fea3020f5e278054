import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
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

it("opens a file of an earlier format", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "kubits-database-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "store.db");
  const first = new SqliteDatabase(path);
  first.commit([put("/a", "1"), put("/b", "1"), put("/a", "2"), { ...put("/b", ""), value: undefined }]);
  first.close();
  const old = new DatabaseSync(path);
  old.exec("DROP INDEX deletions; CREATE INDEX history_by_key ON history (key, revision)");
  old.exec("UPDATE state SET revision = 5; PRAGMA user_version = 1");
  old.close();
  const database = new SqliteDatabase(path);
  t.after(() => database.close());
  const at = (revision: number) =>
    database.range("/", revision, undefined, undefined).rows.map(({ key, value }) => [key, text(value)]);
  assert.deepEqual([2, 3, 4, 5].map(at), [
    [["/a", "1"]],
    [
      ["/a", "1"],
      ["/b", "1"],
    ],
    [
      ["/a", "2"],
      ["/b", "1"],
    ],
    [["/a", "2"]],
  ]);
  assert.equal(database.commit([put("/c", "1")])[0]!.modRevision, 6);
});

it("refuses a file of a later format", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "kubits-database-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "store.db");
  const later = new DatabaseSync(path);
  later.exec("PRAGMA user_version = 99");
  later.close();
  assert.throws(() => new SqliteDatabase(path), /its format is 99/);
});

it("goes on counting when the last of history were deletions and have been tidied away", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "kubits-database-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "store.db");
  const database = new SqliteDatabase(path);
  database.commit([put("/a", "1")]);
  database.commit([{ ...put("/a", ""), value: undefined }]);
  database.compact(database.revision);
  while (database.tidy());
  assert.deepEqual(database.history("/", 3, 3).rows, []);
  database.close();
  const again = new SqliteDatabase(path);
  t.after(() => again.close());
  assert.equal(again.revision, 3);
});
