import { setTimeout as delay } from "node:timers/promises";
import { pods } from "#pkg/api/refs.ts";
import { type BareServer, FOLLOW, inParallel } from "./ceiling.ts";
import type { Connection } from "./connection.ts";
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

/** Who is watched, and what a change is there. */
interface FanOutSource {
  readonly path: string;
  connect(): Connection | Promise<Connection>;
  /** Makes the change with that number, which carries `stamp` to the watchers. */
  change(index: number, stamp: string): unknown;
  cpuSeconds(): number | Promise<number>;
}
interface FanOut {
  readonly delivered: number;
  readonly expected: number;
  readonly bytes: number;
  readonly perSecond: number;
  readonly cpuUs: number;
  readonly p99: number;
}

/** Raises the rate of changes to watched pods until deliveries fall behind. Beside it, what a bare server does with as much. */
export async function measureFanOut(
  server: BenchServer,
  bare: BareServer,
  watchers: number,
  namespace: string,
): Promise<void> {
  const { client } = server;
  for (let rate = 100; rate <= 3200; rate *= 2) {
    const { metadata } = await client.list(pods, { namespace, limit: 1 });
    const ours = await fanOut(watchers, rate, {
      path: `/api/v1/namespaces/${namespace}/pods?watch=1&resourceVersion=${metadata.resourceVersion}`,
      connect: () => server.connect(),
      change: (index, stamp) =>
        client.patch(pods, { namespace, name: `pod-${index % 500}` }, "merge", {
          metadata: { annotations: { "bench.sent": stamp } },
        }),
      cpuSeconds: () => server.cpuSeconds(),
    });
    const size = Math.round(ours.bytes / Math.max(1, ours.delivered));
    const ceiling = await fanOut(watchers, rate, {
      path: FOLLOW,
      connect: () => bare.connect(),
      change: (_index, stamp) => bare.announce(`{"bench.sent":"${stamp}"`.padEnd(size - 2, "x") + "}\n"),
      cpuSeconds: () => bare.cpuSeconds(),
    });
    const missing = ours.expected > ours.delivered ? `, ${ours.expected - ours.delivered} missing` : "";
    console.log(
      `${`watch, ${watchers} watchers, ${rate} changes/s`.padEnd(42)}${ours.perSecond.toFixed(0).padStart(8)}/s${ours.cpuUs.toFixed(1).padStart(9)} us CPU, p99 ${ours.p99.toFixed(0)} ms${missing}${ceiling.perSecond.toFixed(0).padStart(9)}/s, ${ceiling.cpuUs.toFixed(1)} us CPU, p99 ${ceiling.p99.toFixed(0)} ms bare`,
    );
    if (ours.delivered < ours.expected || ours.p99 > HELD_P99_MS) return;
  }
}

async function fanOut(watchers: number, rate: number, source: FanOutSource): Promise<FanOut> {
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => source.connect()));
  let delivered = 0;
  let bytes = 0;
  const latencies: number[] = [];
  const onData = (chunk: Buffer) => {
    bytes += chunk.length;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) delivered++;
    // A stamp that was cut in two is left out; the count has it.
    for (let at = chunk.indexOf(MARK); at >= 0; at = chunk.indexOf(MARK, at + MARK.length)) {
      const start = at + MARK.length;
      const sent = Number(chunk.toString("latin1", start, start + STAMP_DIGITS));
      if (start + STAMP_DIGITS <= chunk.length) latencies.push(performance.now() - sent / 1000);
    }
  };
  await Promise.all(
    Array.from({ length: watchers }, (_, index) => {
      const stream = connections[index % CONNECTIONS]!.follow(source.path, onData);
      return new Promise((resolve) => stream.once("response", resolve));
    }),
  );
  const total = rate * SECONDS;
  const expected = total * watchers;
  const cpu = await source.cpuSeconds();
  const begun = performance.now();
  const changes: unknown[] = [];
  while (changes.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - begun) / 1000) * rate));
    while (changes.length < due) {
      const stamp = String(Math.round(performance.now() * 1000)).padStart(STAMP_DIGITS, "0");
      changes.push(source.change(changes.length, stamp));
    }
    await delay(1);
  }
  await Promise.all(changes);
  for (let quiet = 0, last = delivered; delivered < expected && quiet < 50; last = delivered) {
    await delay(20);
    quiet = delivered === last ? quiet + 1 : 0;
  }
  const seconds = (performance.now() - begun) / 1000;
  const cpuUs = (((await source.cpuSeconds()) - cpu) / delivered) * 1e6;
  for (const connection of connections) connection.close();
  latencies.sort((a, b) => a - b);
  const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? Infinity;
  return { delivered, expected, bytes, perSecond: delivered / seconds, cpuUs, p99 };
}
