import { type ServerHttp2Stream, connect, createSecureServer } from "node:http2";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";

/**
 * What a bare node:http2 server does on this machine, in a thread of its own: GET answers a stored kilobyte, POST parses
 * and stringifies one. No API server in this language can be faster than that.
 */
export async function measureCeiling(concurrency: number): Promise<{ get: number; post: number }> {
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
  const session = connect(`https://localhost:${port}`, { ca: ca.cert });
  const body = Buffer.from(JSON.stringify({ kind: "Pod", data: "x".repeat(1024) }));
  const once = (method: string) =>
    new Promise<void>((resolve, reject) => {
      const stream = session.request({ ":method": method, ":path": "/" }, { endStream: method === "GET" });
      stream.on("error", reject);
      stream.on("data", () => undefined);
      stream.on("end", resolve);
      if (method === "POST") stream.end(body);
    });
  const rate = async (method: string): Promise<number> => {
    const count = 5000;
    let left = count;
    const begun = performance.now();
    await Promise.all(
      Array.from({ length: concurrency }, async () => {
        while (left-- > 0) await once(method);
      }),
    );
    return count / ((performance.now() - begun) / 1000);
  };
  await rate("GET");
  const result = { get: await rate("GET"), post: await rate("POST") };
  session.close();
  await worker.terminate();
  return result;
}

if (!isMainThread) {
  const { cert, key } = workerData as { cert: string; key: string };
  const stored = Buffer.from(JSON.stringify({ kind: "Pod", data: "x".repeat(1024) }));
  const server = createSecureServer({ cert, key });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => stream.close());
    if (headers[":method"] === "GET") {
      stream.respond({ ":status": 200 });
      stream.end(stored);
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
