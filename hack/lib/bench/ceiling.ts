import { type ServerHttp2Stream, createSecureServer } from "node:http2";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { type Connection, connectTo } from "./connection.ts";

/** Path whose answer has no end. */
export const FOLLOW = "/follow";

/** What a bare server did: operations per second, and its CPU time for each in microseconds. */
export interface Ceiling {
  readonly rate: number;
  readonly cpuUs: number;
}

/**
 * A bare node:http2 server on this machine, in a thread of its own: GET answers a stored kilobyte, or as many bytes as
 * the path says; POST parses and stringifies one; who follows is told what is announced. What a server built on it can do
 * at most.
 */
export class BareServer {
  readonly #worker: Worker;
  readonly #connect: () => Connection;
  readonly #connection: Connection;

  private constructor(worker: Worker, connect: () => Connection) {
    this.#worker = worker;
    this.#connect = connect;
    this.#connection = connect();
  }
  static async start(): Promise<BareServer> {
    const now = Date.now();
    const ca = await createCa({ commonName: "bench", validityDays: 1, now });
    const serving = await issueCertificate(ca, {
      commonName: "localhost",
      usages: ["server"],
      dnsNames: ["localhost"],
      validityDays: 1,
      now,
    });
    const worker = new Worker(new URL(import.meta.url), { workerData: serving });
    const port = await new Promise<number>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    return new BareServer(worker, () => connectTo(`https://localhost:${port}`, { ca: ca.cert }));
  }
  get(concurrency: number): Promise<Ceiling> {
    return this.#measure(5000, concurrency, () => this.#connection.get("/"));
  }
  post(concurrency: number): Promise<Ceiling> {
    const body = Buffer.from(JSON.stringify({ kind: "Pod", data: "x".repeat(1024) }));
    return this.#measure(5000, concurrency, () => this.#connection.post("/", body));
  }
  /** One answer of so many bytes at a time. */
  bytes(count: number): Promise<Ceiling> {
    return this.#measure(5, 1, () => this.#connection.get(`/${count}`));
  }
  /** A further connection. */
  connect(): Connection {
    return this.#connect();
  }
  /** Sends the text to everybody who follows {@link FOLLOW}. */
  announce(text: string): void {
    this.#worker.postMessage(text);
  }
  async cpuSeconds(): Promise<number> {
    const { user, system } = await this.#worker.cpuUsage();
    return (user + system) / 1e6;
  }
  async stop(): Promise<void> {
    this.#connection.close();
    await this.#worker.terminate();
  }

  async #measure(count: number, concurrency: number, once: () => Promise<unknown>): Promise<Ceiling> {
    await inParallel(count, concurrency, once); // warm-up
    const before = await this.#worker.cpuUsage();
    const begun = performance.now();
    await inParallel(count, concurrency, once);
    const seconds = (performance.now() - begun) / 1000;
    const used = await this.#worker.cpuUsage(before);
    return { rate: count / seconds, cpuUs: (used.user + used.system) / count };
  }
}

/** Runs `count` calls, `concurrency` at a time. */
export async function inParallel(
  count: number,
  concurrency: number,
  call: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < count) await call(next++);
    }),
  );
}

if (!isMainThread) {
  const { cert, key } = workerData as { cert: string; key: string };
  const stored = Buffer.from(JSON.stringify({ kind: "Pod", data: "x".repeat(1024) }));
  const sized = new Map([["/", stored]]);
  const answer = (path: string): Buffer => {
    let bytes = sized.get(path);
    if (bytes === undefined) sized.set(path, (bytes = Buffer.alloc(Number(path.slice(1)), "x")));
    return bytes;
  };
  const followers = new Set<ServerHttp2Stream>();
  parentPort!.on("message", (text: string) => {
    const bytes = Buffer.from(text);
    for (const follower of followers) follower.write(bytes);
  });
  const server = createSecureServer({ cert, key });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => stream.close());
    if (headers[":method"] === "GET") {
      stream.respond({ ":status": 200 });
      if (headers[":path"] === FOLLOW) {
        followers.add(stream);
        stream.once("close", () => followers.delete(stream));
        return;
      }
      stream.end(answer(headers[":path"] ?? "/"));
      return;
    }
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      const value: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
      stream.respond({ ":status": 201 });
      stream.end(JSON.stringify(value));
    });
  });
  server.listen(0, "127.0.0.1", () => parentPort!.postMessage((server.address() as { port: number }).port));
}
