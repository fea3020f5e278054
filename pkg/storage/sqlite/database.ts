import { chmodSync, closeSync, openSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { errorMessage } from "#pkg/util/index.ts";
import { prefixEnd } from "../keys.ts";
import { CompactedError, FutureRevisionError } from "../store.ts";
import { APPLIED, FAILED, type Operation, type Row, UNCHANGED } from "./protocol.ts";

/**
 * `history` has one row per revision, NULL standing for a deletion; `previous` is the revision it replaced (0: none), so
 * that the versions of a key are a chain. `live` points at the row of each present key, `deletions` at the last ones of
 * the others: what a key was in the past is found along the chains, and a write has no index of all versions to keep up.
 * `state` has a revision that is never forgotten, since deletions at the end of history may be compacted away, and how
 * far compaction got: what is readable (`compact_revision`) and what is tidied (`tidied`).
 */
const SCHEMA = `
  CREATE TABLE history (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, create_revision INTEGER NOT NULL, previous INTEGER NOT NULL, value BLOB
  ) STRICT;
  CREATE INDEX history_by_key ON history (key, revision);
  CREATE TABLE live (
    key TEXT PRIMARY KEY, mod_revision INTEGER NOT NULL, create_revision INTEGER NOT NULL, expires_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL, compact_revision INTEGER NOT NULL, tidied INTEGER NOT NULL
  ) STRICT;
  INSERT INTO state VALUES (1, 1, 0, 0);
`;
/** What makes a file of each format, counted from the empty one, into one of the next. */
const STEPS = [
  SCHEMA,
  "DROP INDEX history_by_key; CREATE INDEX deletions ON history (key, revision) WHERE value IS NULL;",
];
/** Behind every key. */
const LAST_KEY = "\u{10ffff}";
/** Revisions tidied per transaction: writes that arrive meanwhile wait no longer than this takes. */
const TIDY_STEP = 500;
const HISTORY_PAGE_EVENTS = 1000;
const HISTORY_PAGE_BYTES = 8 * 1024 * 1024;
/** Pages are given back to the file system only when this many, and a quarter of the file, are free. */
const MIN_FREE_PAGES = 1000;
const VACUUM_STEP_PAGES = 500;
/** Time for a predecessor to let go of the file. */
const BUSY_TIMEOUT_MS = 5000;

export interface Outcome {
  readonly status: number;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Present state where the compare failed. */
  readonly current: Row | undefined;
}
export interface RowsResult {
  readonly rows: Row[];
  readonly count: number;
  readonly revision: number;
}
interface SqlRow {
  key: string;
  value: Uint8Array | null;
  create_revision: number;
  mod_revision: number;
}

/** The database file. Everything here blocks the thread, which is why it has one of its own. */
export class SqliteDatabase {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #revision: number;
  #compactRevision: number;
  #tidied: number;

  constructor(path: string) {
    // SQLite gives its -wal file the mode of the database. Everything in a cluster, Secrets too, is in here.
    closeSync(openSync(path, "a", 0o600));
    chmodSync(path, 0o600);
    this.#db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    try {
      this.#configure();
    } catch (cause) {
      this.#db.close();
      throw new Error(`cannot open the database ${path}: ${errorMessage(cause)}`, { cause });
    }
    const state = this.#prepare(
      `SELECT max(revision, (SELECT coalesce(max(revision), 0) FROM history)) AS revision, compact_revision, tidied
       FROM state`,
    ).get() as Record<string, number>;
    this.#revision = state["revision"]!;
    this.#compactRevision = state["compact_revision"]!;
    this.#tidied = state["tidied"]!;
  }
  get revision(): number {
    return this.#revision;
  }
  /** Every key that will expire. */
  expiries(): { key: string; modRevision: number; expiresAt: number }[] {
    return this.#prepare(
      "SELECT key, mod_revision AS modRevision, expires_at AS expiresAt FROM live WHERE expires_at IS NOT NULL",
    ).all() as { key: string; modRevision: number; expiresAt: number }[];
  }
  /** Applies the operations in order in one transaction: when it returns, all of them are on disk. */
  commit(operations: readonly Operation[]): Outcome[] {
    const before = this.#revision;
    return this.#transaction(
      () => operations.map((operation) => this.#write(operation)),
      () => (this.#revision = before),
    );
  }
  get(key: string, revision: number | undefined): Row | undefined {
    if (revision === undefined) return this.#current(key);
    this.#checkReadable(revision);
    const query = valuesOf(past("key = ?"));
    const found = this.#prepare(query).get(key, key, revision, revision, revision, 1) as SqlRow | undefined;
    return found === undefined ? undefined : rowOf(found);
  }
  range(
    prefix: string,
    revision: number | undefined,
    limit: number | undefined,
    startAfter: string | undefined,
  ): RowsResult {
    const start =
      startAfter !== undefined && Buffer.compare(Buffer.from(startAfter), Buffer.from(prefix)) >= 0
        ? startAfter
        : undefined;
    // A range begins behind a key or at the prefix itself; comparing with >= and > needs two texts of each query.
    const bounds = `key ${start === undefined ? ">=" : ">"} ? AND key < ?`;
    const parameters = [start ?? prefix, prefixEnd(prefix) ?? LAST_KEY];
    const size = limit ?? -1;
    if (revision === undefined || revision === this.#revision) {
      const found = this.#prepare(
        `SELECT live.key, value, live.create_revision, mod_revision FROM live JOIN history ON revision = mod_revision
         WHERE live.${bounds.replace("AND key", "AND live.key")} ORDER BY live.key LIMIT ?`,
      ).all(...parameters, size) as unknown as SqlRow[];
      const count = this.#count(`SELECT count(*) AS n FROM live WHERE ${bounds}`, parameters);
      return { rows: found.map(rowOf), count, revision: this.#revision };
    }
    this.#checkReadable(revision);
    const then = past(bounds);
    const at = [...parameters, ...parameters, revision, revision, revision];
    const found = this.#prepare(valuesOf(then)).all(...at, size) as unknown as SqlRow[];
    const count = limit === undefined ? found.length : this.#count(`SELECT count(*) AS n FROM (${then})`, at);
    return { rows: found.map(rowOf), count, revision };
  }
  /** What was committed behind `from` up to `to`, or up to the result's revision when that is a lot. */
  history(prefix: string, from: number, to: number): RowsResult {
    if (from < this.#compactRevision) throw new CompactedError(this.#compactRevision);
    const found = this.#prepare(
      `SELECT key, value, create_revision, revision AS mod_revision FROM history
       WHERE revision > ? AND revision <= ? AND key >= ? AND key < ? ORDER BY revision`,
    ).iterate(from, to, prefix, prefixEnd(prefix) ?? LAST_KEY);
    const rows: Row[] = [];
    let bytes = 0;
    for (const each of found) {
      const row = rowOf(each as unknown as SqlRow);
      rows.push(row);
      bytes += row.value?.length ?? 0;
      if (rows.length >= HISTORY_PAGE_EVENTS || bytes >= HISTORY_PAGE_BYTES) {
        return { rows, count: rows.length, revision: row.modRevision };
      }
    }
    return { rows, count: rows.length, revision: to };
  }
  /** Makes older revisions unreadable; `tidy` then removes them. */
  compact(revision: number): void {
    const target = Math.min(revision, this.#revision);
    if (target <= this.#compactRevision) return;
    this.#prepare("UPDATE state SET compact_revision = ?").run(target);
    this.#compactRevision = target;
  }
  /** Removes one bounded portion of compacted history; false when nothing is left to do. */
  tidy(): boolean {
    const from = this.#tidied;
    const to = Math.min(from + TIDY_STEP, this.#compactRevision);
    if (from >= to) return this.#vacuum();
    this.#transaction(
      () => {
        this.#prepare(
          `DELETE FROM history WHERE revision IN
           (SELECT previous FROM history WHERE revision > ? AND revision <= ? AND previous > 0)`,
        ).run(from, to);
        this.#prepare("DELETE FROM history WHERE revision > ? AND revision <= ? AND value IS NULL").run(from, to);
        this.#prepare("UPDATE state SET tidied = ?, revision = ?").run(to, this.#revision);
      },
      () => undefined,
    );
    this.#tidied = to;
    return true;
  }
  /** Bytes in use, without free pages. */
  size(): number {
    return (this.#pragma("page_count") - this.#pragma("freelist_count")) * this.#pragma("page_size");
  }
  close(): void {
    this.#db.close();
  }

  #configure(): void {
    // Exclusive locking: a second process must not open the file, and none of WAL's shared memory is needed.
    this.#db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL");
    this.#db.exec("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864");
    this.#db.exec("PRAGMA cache_size = -32768; BEGIN IMMEDIATE; COMMIT");
    const version = this.#pragma("user_version");
    if (version > STEPS.length) throw new Error(`its format is ${version}, this program knows ${STEPS.length}`);
    if (version === STEPS.length) return;
    this.#db.exec(`BEGIN IMMEDIATE; ${STEPS.slice(version).join(" ")} PRAGMA user_version = ${STEPS.length}; COMMIT`);
  }
  #write({ key, value, expectedModRevision, expiresAt }: Operation): Outcome {
    const live = this.#prepare("SELECT mod_revision, create_revision FROM live WHERE key = ?").get(key) as
      | { mod_revision: number; create_revision: number }
      | undefined;
    const previous = live?.mod_revision ?? 0;
    if (expectedModRevision >= 0 && previous !== expectedModRevision) {
      return { status: FAILED, createRevision: 0, modRevision: this.#revision, current: this.#current(key) };
    }
    if (value === undefined && live === undefined) {
      return { status: UNCHANGED, createRevision: 0, modRevision: this.#revision, current: undefined };
    }
    const modRevision = ++this.#revision;
    const createRevision = value === undefined ? 0 : (live?.create_revision ?? modRevision);
    this.#prepare("INSERT INTO history VALUES (?, ?, ?, ?, ?)").run(
      modRevision,
      key,
      createRevision,
      previous,
      value ?? null,
    );
    if (value === undefined) this.#prepare("DELETE FROM live WHERE key = ?").run(key);
    else if (live === undefined) {
      this.#prepare("INSERT INTO live VALUES (?, ?, ?, ?)").run(key, modRevision, createRevision, expiresAt || null);
    } else {
      // In its place: taking a row out and putting another in is more work.
      this.#prepare("UPDATE live SET mod_revision = ?, expires_at = ? WHERE key = ?").run(
        modRevision,
        expiresAt || null,
        key,
      );
    }
    return { status: APPLIED, createRevision, modRevision, current: undefined };
  }
  #current(key: string): Row | undefined {
    const found = this.#prepare(
      `SELECT live.key, value, live.create_revision, mod_revision FROM live JOIN history ON revision = mod_revision
       WHERE live.key = ?`,
    ).get(key) as SqlRow | undefined;
    return found === undefined ? undefined : rowOf(found);
  }
  #checkReadable(revision: number): void {
    if (revision > this.#revision) throw new FutureRevisionError(this.#revision);
    if (revision < this.#compactRevision) throw new CompactedError(this.#compactRevision);
  }
  /** Runs `work` in a transaction; when anything fails, nothing of it happened and `undo` puts our own state back. */
  #transaction<T>(work: () => T, undo: () => void): T {
    this.#prepare("BEGIN IMMEDIATE").run();
    try {
      const result = work();
      this.#prepare("COMMIT").run();
      return result;
    } catch (error) {
      undo();
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }
  /** Gives some free pages back; true when there are more. */
  #vacuum(): boolean {
    const free = this.#pragma("freelist_count");
    if (free < MIN_FREE_PAGES || free * 4 < this.#pragma("page_count")) return false;
    this.#db.exec(`PRAGMA incremental_vacuum(${VACUUM_STEP_PAGES})`);
    return this.#pragma("freelist_count") < free;
  }
  #pragma(name: string): number {
    return Object.values(this.#prepare(`PRAGMA ${name}`).get()!)[0] as number;
  }
  #count(sql: string, parameters: readonly (string | number)[]): number {
    return (this.#prepare(sql).get(...parameters) as { n: number }).n;
  }
  /** The texts are constants of this file, so there are few. */
  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#db.prepare(sql)));
    return statement;
  }
}

/**
 * The query for what keys were at a revision (three times the last parameter; those of `bounds` come twice before): from
 * the present version, and from each one that was deleted since, down the chain. At most one of these lives of a key
 * includes the revision; the others end at 0.
 */
function past(bounds: string): string {
  return `WITH RECURSIVE version (revision) AS (
      SELECT mod_revision FROM live WHERE ${bounds}
      UNION ALL
      SELECT previous FROM history WHERE value IS NULL AND ${bounds} AND revision > ?
      UNION ALL
      SELECT previous FROM version JOIN history USING (revision) WHERE revision > ?
    )
    SELECT key, revision FROM version JOIN history USING (revision) WHERE revision <= ?`;
}

/** The first so many of these (one parameter more), with their values: only these are read. */
function valuesOf(versions: string): string {
  return `SELECT key, value, create_revision, revision AS mod_revision FROM history
    WHERE revision IN (SELECT revision FROM (${versions} ORDER BY key LIMIT ?)) ORDER BY key`;
}

function rowOf(row: SqlRow): Row {
  return {
    key: row.key,
    value: row.value ?? undefined,
    createRevision: row.create_revision,
    modRevision: row.mod_revision,
  };
}
