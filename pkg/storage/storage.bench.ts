/** Run by hand: `hack/node pkg/storage/storage.bench.ts [etcd endpoint]`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { Cacher, type CacheEntry, type ResourceCache } from "./cacher/index.ts";
import { EtcdStore } from "./etcd/etcd-store.ts";
import { openMemoryStore } from "./memory/memory-store.ts";
import { openSqliteStore } from "./sqlite/sqlite-store.ts";
import type { Store } from "./store.ts";

const NODES = 500;

function say(what: string, count: number, ms: number): void {
  console.log(
    `${what.padEnd(58)} ${Math.round((count * 1000) / ms)
      .toString()
      .padStart(9)}/s ${((1000 * ms) / count).toFixed(1).padStart(9)} µs each`,
  );
}
async function measure(what: string, count: number, work: () => Promise<void> | void): Promise<void> {
  const start = performance.now();
  await work();
  say(what, count, performance.now() - start);
}

function pod(name: string, node: string): KubeObject {
  const container = (index: number) => ({
    name: `c${index}`,
    image: "registry.example/team/app:1.2.3",
    env: Array.from({ length: 8 }, (_, i) => ({ name: `VARIABLE_${i}`, value: `value ${i} of container ${index}` })),
    resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { memory: "256Mi" } },
    volumeMounts: [
      { name: "kube-api-access", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount", readOnly: true },
    ],
    terminationMessagePath: "/dev/termination-log",
    imagePullPolicy: "IfNotPresent",
  });
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: `ns-${name.length % 7}`,
      uid: "3f9c1d1e-7a55-4f3c-9d8e-000000000000",
      labels: { app: "web", tier: "front" },
    },
    spec: { nodeName: node, containers: [container(0), container(1)], tolerations: [{ key: "a", operator: "Exists" }] },
    status: { phase: "Running", podIP: "10.1.2.3", conditions: [{ type: "Ready", status: "True" }] },
  };
}

async function inGroups(total: number, writers: number, write: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const run = async () => {
    while (next < total) await write(next++);
  };
  await Promise.all(Array.from({ length: writers }, run));
}

async function puts(name: string, store: Store): Promise<void> {
  const value = Buffer.alloc(1500, "x");
  for (const [writers, total] of [
    [1, 1000],
    [10, 5000],
    [50, 20_000],
    [200, 40_000],
  ] as const) {
    await measure(`${name}: puts of 1.5 KB by ${writers} writers`, total, () =>
      inGroups(total, writers, (i) => store.write({ key: `/registry/bench/${i % 5000}`, value })),
    );
  }
}

async function cached(name: string, store: Store, total: number): Promise<void> {
  const cacher = new Cacher({ store });
  const nodeOf = (object: Readonly<KubeObject>) => (object["spec"] as { nodeName: string }).nodeName;
  const pods: ResourceCache = cacher.resource({
    prefix: "pods",
    namespaced: true,
    apiVersion: "v1",
    kind: "Pod",
    indexes: { "spec.nodeName": nodeOf },
  });
  const entries: CacheEntry[] = [];
  await measure(`${name}: cacher creates pods by 50 writers`, total, () =>
    inGroups(total, 50, async (i) => entries.push(await pods.create(pod(`pod-${i}`, `n${i % NODES}`)))),
  );
  const abort = new AbortController();
  let delivered = 0;
  const watch = (options: object) =>
    pods.watch({
      signal: abort.signal,
      fromRevision: 1_000_000_000,
      ...options,
      onEvent: () => void delivered++,
      onEnd() {},
    });
  for (let i = 0; i < 5000; i++)
    watch({ index: { index: "spec.nodeName", value: `n${i % NODES}` }, fromRevision: entries.at(-1)!.revision });
  for (let i = 0; i < 10; i++) watch({ fromRevision: entries.at(-1)!.revision });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await measure(`${name}: cacher updates, 5,000 node watchers + 10 of all`, total, () =>
    inGroups(total, 50, async (i) => {
      const entry = entries[i]!;
      entries[i] = await pods.update(entry, { ...entry.object, status: { phase: "Running", round: i } });
    }),
  );
  console.log(`   delivered per update: ${(delivered / total).toFixed(1)}`);
  abort.abort();
  let crowd = 0;
  const many = new AbortController();
  for (let i = 0; i < 1000; i++)
    pods.watch({
      signal: many.signal,
      fromRevision: (await pods.list({ limit: 1 })).revision,
      onEvent: () => void crowd++,
      onEnd() {},
    });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await measure(`${name}: events delivered to 1,000 watchers of all`, 500_000, () =>
    inGroups(
      500,
      50,
      async (i) => (entries[i] = await pods.update(entries[i]!, { ...entries[i]!.object, status: { last: i } })),
    ),
  );
  console.log(`   delivered: ${crowd}`);
  many.abort();
  await measure(`${name}: consistent list of ${total} pods`, 200, async () => {
    for (let i = 0; i < 200; i++) await pods.list({});
  });
  await measure(`${name}: pages of 500`, 200, async () => {
    let startAfter: string | undefined;
    for (let i = 0; i < 200; i++) ({ next: startAfter } = await pods.list({ limit: 500, startAfter }));
  });
  await measure(`${name}: consistent get`, 20_000, async () => {
    for (let i = 0; i < 20_000; i++) await pods.get(entries[i % total]!.namespace, entries[i % total]!.name);
  });
  await cacher.close();
  const again = new Cacher({ store });
  await measure(`${name}: loading`, total, async () =>
    again
      .resource({
        prefix: "pods",
        namespaced: true,
        apiVersion: "v1",
        kind: "Pod",
        indexes: { "spec.nodeName": nodeOf },
      })
      .ready(),
  );
  await again.close();
}

const directory = mkdtempSync(join(tmpdir(), "kubits-bench-"));
const endpoint = process.argv[2];
for (const [name, store] of [
  ["memory", openMemoryStore()],
  ["sqlite", await openSqliteStore({ path: join(directory, "store.db") })],
  ...(endpoint === undefined ? [] : [["etcd", new EtcdStore({ endpoints: [endpoint] })] as const]),
] as const) {
  await puts(name, store);
  await cached(name, store, 5000);
  await store.close();
}
rmSync(directory, { recursive: true });
