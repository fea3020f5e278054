import { setTimeout as delay } from "node:timers/promises";
import { pods } from "#pkg/api/refs.ts";
import { type BareServer, inParallel } from "./ceiling.ts";
import type { BenchServer } from "./server.ts";

const REPEATS = 5;
const JSON_AS = (kind: string) => ({ accept: `application/json;as=${kind};v=v1;g=meta.k8s.io` });

/** Lists of everything in the namespace, in the forms clients ask for. */
export async function measureLists(server: BenchServer, bare: BareServer, namespace: string): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const connection = await server.connect();
  const forms: [title: string, query: string, headers: Record<string, string>][] = [
    ["list, JSON", "", {}],
    ["list, first 500", "?limit=500", {}],
    ["list, gzip", "", { "accept-encoding": "gzip" }],
    ["list, protobuf", "", { accept: "application/vnd.kubernetes.protobuf" }],
    ["list, Table", "", JSON_AS("Table")],
    ["list, metadata", "", JSON_AS("PartialObjectMetadataList")],
    ["list, selector without match", "?labelSelector=app%3Dnosuch", {}],
  ];
  try {
    for (const [title, query, headers] of forms) {
      const size = await connection.get(path + query, headers); // warm-up
      const cpu = server.cpuSeconds();
      const begun = performance.now();
      await inParallel(REPEATS, 1, () => connection.get(path + query, headers));
      const ms = (performance.now() - begun) / REPEATS;
      const cpuMs = ((server.cpuSeconds() - cpu) * 1000) / REPEATS;
      const ceiling = await bare.bytes(size);
      console.log(
        `${`${title} (${(size / 1e6).toFixed(1)} MB)`.padEnd(42)}${ms.toFixed(1).padStart(8)} ms${cpuMs.toFixed(1).padStart(9)} ms CPU${(1000 / ceiling.rate).toFixed(1).padStart(9)} ms, ${(ceiling.cpuUs / 1000).toFixed(1)} ms CPU bare`,
      );
    }
  } finally {
    connection.close();
  }
}

/** Connections that the watchers share. */
const CONNECTIONS = 10;
const SECONDS = 4;
/** A rate counts as held when everything arrives, and hardly anything later than this. */
const HELD_P99_MS = 250;
const MARK = Buffer.from('"bench.sent":"');
const STAMP_DIGITS = 13;
const NEWLINE = 0x0a;

/** Raises the rate of changes to watched pods until deliveries fall behind. */
export async function measureFanOut(server: BenchServer, watchers: number, namespace: string): Promise<void> {
  for (let rate = 100; rate <= 3200; rate *= 2) {
    const { delivered, expected, p99 } = await fanOut(server, watchers, namespace, rate);
    if (delivered < expected || p99 > HELD_P99_MS) return;
  }
}

async function fanOut(server: BenchServer, watchers: number, namespace: string, rate: number) {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const { client } = server;
  const { metadata } = await client.list(pods, { namespace, limit: 1 });
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => server.connect()));
  let delivered = 0;
  const latencies: number[] = [];
  const onData = (chunk: Buffer) => {
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) delivered++;
    // A stamp that was cut in two is left out; the count has it.
    for (let at = chunk.indexOf(MARK); at >= 0; at = chunk.indexOf(MARK, at + MARK.length)) {
      const start = at + MARK.length;
      const sent = Number(chunk.toString("latin1", start, start + STAMP_DIGITS));
      if (start + STAMP_DIGITS <= chunk.length) latencies.push(performance.now() - sent / 1000);
    }
  };
  const query = `?watch=1&resourceVersion=${metadata.resourceVersion}`;
  await Promise.all(
    Array.from({ length: watchers }, (_, index) => {
      const stream = connections[index % CONNECTIONS]!.follow(path + query, onData);
      return new Promise((resolve) => stream.once("response", resolve));
    }),
  );
  const total = rate * SECONDS;
  const expected = total * watchers;
  const cpu = server.cpuSeconds();
  const begun = performance.now();
  const writes: Promise<unknown>[] = [];
  while (writes.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - begun) / 1000) * rate));
    while (writes.length < due) {
      const sent = String(Math.round(performance.now() * 1000)).padStart(STAMP_DIGITS, "0");
      const key = { namespace, name: `pod-${writes.length % 500}` };
      writes.push(client.patch(pods, key, "merge", { metadata: { annotations: { "bench.sent": sent } } }));
    }
    await delay(1);
  }
  await Promise.all(writes);
  for (let quiet = 0, last = delivered; delivered < expected && quiet < 50; last = delivered) {
    await delay(20);
    quiet = delivered === last ? quiet + 1 : 0;
  }
  const seconds = (performance.now() - begun) / 1000;
  for (const connection of connections) connection.close();
  latencies.sort((a, b) => a - b);
  const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? Infinity;
  const perDelivery = ((server.cpuSeconds() - cpu) / delivered) * 1e6;
  const missing = expected > delivered ? `, ${expected - delivered} missing` : "";
  console.log(
    `${`watch, ${watchers} watchers, ${rate} changes/s`.padEnd(42)}${(delivered / seconds).toFixed(0).padStart(8)}/s${perDelivery.toFixed(1).padStart(9)} us CPU, p99 ${p99.toFixed(0)} ms${missing}`,
  );
  return { delivered, expected, p99 };
}
