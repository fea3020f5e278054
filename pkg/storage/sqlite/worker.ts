import { parentPort, workerData } from "node:worker_threads";
import { errorMessage } from "#pkg/util/index.ts";
import { CompactedError, FutureRevisionError } from "../store.ts";
import { SqliteDatabase } from "./database.ts";
import { buffersOf, packRows, type Reply, type Request, type Row, unpackOperations } from "./protocol.ts";

/** The SQLite thread: serves requests in the order they arrive, tidying up in between. */
if (parentPort === null) throw new Error("this file is the entry of a worker thread");
const port = parentPort;
const database = new SqliteDatabase((workerData as { path: string }).path);
/** Compactions that are answered when tidying is through. */
let compactions: number[] = [];

function send(reply: Reply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(reply, transfer);
}

function sendRows(id: number, rows: readonly Row[], count: number, revision: number): void {
  const packed = packRows(rows);
  send({ kind: "rows", id, rows: packed, count, revision }, buffersOf(packed));
}

function commit(id: number, request: Extract<Request, { kind: "commit" }>): void {
  const results = database.commit(unpackOperations(request.operations));
  const outcomes: number[] = [];
  const rows: Row[] = [];
  for (const { status, createRevision, modRevision, current } of results) {
    outcomes.push(status, createRevision, modRevision, current === undefined ? 0 : 1);
    if (current !== undefined) rows.push(current);
  }
  const current = rows.length === 0 ? undefined : packRows(rows);
  const reply: Reply = { kind: "committed", id, revision: database.revision, outcomes, current };
  send(reply, current === undefined ? [] : buffersOf(current));
}

function serve(request: Request): void {
  const { id } = request;
  switch (request.kind) {
    case "commit":
      commit(id, request);
      return;
    case "get": {
      const row = database.get(request.key, request.revision);
      sendRows(id, row === undefined ? [] : [row], 1, request.revision ?? database.revision);
      return;
    }
    case "range": {
      const { rows, count, revision } = database.range(
        request.prefix,
        request.revision,
        request.limit,
        request.startAfter,
      );
      sendRows(id, rows, count, revision);
      return;
    }
    case "history": {
      const { rows, count, revision } = database.history(request.prefix, request.from, request.to);
      sendRows(id, rows, count, revision);
      return;
    }
    case "compact":
      database.compact(request.revision);
      compactions.push(id);
      if (compactions.length === 1) setImmediate(tidy);
      return;
    case "size":
      send({ kind: "number", id, value: database.size() });
      return;
    case "close":
      compactions = [];
      database.close();
      send({ kind: "number", id, value: 0 });
      port.close();
  }
}

function fail(id: number, error: unknown): void {
  if (error instanceof CompactedError) send({ kind: "compacted", id, compactRevision: error.compactRevision });
  else if (error instanceof FutureRevisionError) send({ kind: "future", id, currentRevision: error.currentRevision });
  else send({ kind: "failed", id, message: errorMessage(error) });
}

/** One portion at a time, so that waiting commits go first. */
function tidy(): void {
  if (compactions.length === 0) return; // Closed meanwhile.
  try {
    if (database.tidy()) {
      setImmediate(tidy);
      return;
    }
    for (const id of compactions) send({ kind: "number", id, value: 0 });
  } catch (error) {
    for (const id of compactions) fail(id, error);
  }
  compactions = [];
}

port.on("message", (request: Request) => {
  try {
    serve(request);
  } catch (error) {
    fail(request.id, error);
  }
});

const expiries = database.expiries();
const numbers = new Float64Array(expiries.flatMap(({ modRevision, expiresAt }) => [modRevision, expiresAt]));
send({ kind: "opened", revision: database.revision, expiries: { keys: expiries.map(({ key }) => key), numbers } }, [
  numbers.buffer,
]);
