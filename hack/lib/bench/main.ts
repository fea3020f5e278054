import { parseArgs } from "node:util";
import { configMaps, pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Client, Draft } from "#pkg/client/index.ts";
import { buildPrograms } from "../cluster.ts";
import { measureCeiling } from "./ceiling.ts";
import { type BenchServer, startServer } from "./server.ts";

const HELP = `Usage: hack/bench [--n 2000] [--concurrency 16] [--pods 5000] [--watchers 100]

Measures kubits-master on an empty SQLite store: operations per second and the server's CPU time per operation, lists,
watch fan-out, start-up and memory. The last column is what a bare node:http2 server does on the same machine in the same
run: only ratios within one run mean something.
`;
const { values } = parseArgs({
  options: {
    n: { type: "string", default: "2000" },
    concurrency: { type: "string", default: "16" },
    pods: { type: "string", default: "5000" },
    watchers: { type: "string", default: "100" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const n = Number(values.n);
const concurrency = Number(values.concurrency);
const NAMESPACE = "default";

function podOf(name: string): Draft<Pod> {
  return {
    metadata: { name, namespace: NAMESPACE, labels: { app: "bench", tier: "backend" } },
    spec: {
      schedulerName: "none",
      containers: [
        {
          name: "main",
          image: "registry.k8s.io/pause:3.10",
          env: Array.from({ length: 8 }, (_, index) => ({ name: `VARIABLE_${index}`, value: `value-${index}` })),
          resources: { requests: { cpu: "100m", memory: "64Mi" }, limits: { memory: "128Mi" } },
          ports: [{ name: "http", containerPort: 8080 }],
        },
      ],
    },
  };
}

/** Runs `count` calls, `concurrency` at a time, and reports rate and server CPU. */
async function phase(
  server: BenchServer,
  title: string,
  count: number,
  call: (index: number) => Promise<unknown>,
  ceiling?: number,
): Promise<void> {
  const cpu = server.cpuSeconds();
  const begun = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < count) await call(next++);
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  const perOperation = ((server.cpuSeconds() - cpu) / count) * 1e6;
  const beside = ceiling === undefined ? "" : `${ceiling.toFixed(0).padStart(9)}/s bare`;
  console.log(
    `${title.padEnd(34)}${(count / seconds).toFixed(0).padStart(8)}/s${perOperation.toFixed(0).padStart(9)} us CPU${beside}`,
  );
}

async function fanOut(server: BenchServer, watchers: number): Promise<void> {
  const { client } = server;
  const writes = 200;
  const abort = new AbortController();
  let delivered = 0;
  const { metadata } = await client.list(configMaps, { namespace: NAMESPACE, limit: 1 });
  const watching = Array.from({ length: watchers }, async () => {
    const options = { namespace: NAMESPACE, resourceVersion: metadata.resourceVersion, signal: abort.signal };
    for await (const event of client.watch(configMaps, options)) {
      if (event.type === "ADDED" && ++delivered === watchers * writes) abort.abort(new Error("all delivered"));
    }
  });
  const cpu = server.cpuSeconds();
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: writes }, (_, index) =>
      client.create(configMaps, {
        metadata: { name: `fan-${index}`, namespace: NAMESPACE },
        data: { index: String(index) },
      }),
    ),
  );
  await Promise.allSettled(watching);
  const seconds = (performance.now() - begun) / 1000;
  const events = watchers * writes;
  console.log(
    `${`watch, ${watchers} watchers`.padEnd(34)}${(delivered / seconds).toFixed(0).padStart(8)}/s${(((server.cpuSeconds() - cpu) / events) * 1e6).toFixed(0).padStart(9)} us CPU`,
  );
  if (delivered !== events) throw new Error(`${events - delivered} events were lost`);
}

async function apiPhases(server: BenchServer, ceiling: { get: number; post: number }): Promise<void> {
  const client: Client = server.client;
  const key = (index: number) => ({ namespace: NAMESPACE, name: `pod-${index}` });
  await client.raw("POST", "/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
  await phase(server, "warm-up", 500, (index) => client.create(pods, podOf(`warm-${index}`)));
  await phase(server, "create pod", n, (index) => client.create(pods, podOf(`pod-${index}`)), ceiling.post);
  await phase(server, "get pod", n * 4, (index) => client.get(pods, key(index % n)), ceiling.get);
  await phase(
    server,
    "merge patch",
    n,
    (index) => client.patch(pods, key(index), "merge", { metadata: { labels: { step: "merge" } } }),
    ceiling.post,
  );
  await phase(
    server,
    "strategic merge patch",
    n,
    (index) => client.patch(pods, key(index), "strategic", { metadata: { labels: { step: "strategic" } } }),
    ceiling.post,
  );
  await phase(
    server,
    "server-side apply",
    n,
    (index) => {
      const body = { apiVersion: "v1", kind: "Pod", metadata: { name: `pod-${index}`, labels: { step: "apply" } } };
      return client.patch(pods, key(index), "apply", body, { fieldManager: "bench", force: true });
    },
    ceiling.post,
  );
  const more = Math.max(0, Number(values.pods) - n - 500);
  await phase(server, `create up to ${values.pods} pods`, more, (index) => client.create(pods, podOf(`more-${index}`)));
  const begun = performance.now();
  const cpu = server.cpuSeconds();
  const list = await client.list(pods, { namespace: NAMESPACE });
  console.log(
    `${`list of ${list.items.length} pods`.padEnd(34)}${(performance.now() - begun).toFixed(0).padStart(8)} ms${((server.cpuSeconds() - cpu) * 1000).toFixed(0).padStart(8)} ms CPU  (client's parsing included in the time)`,
  );
  await fanOut(server, Number(values.watchers));
}

await buildPrograms();
const ceiling = await measureCeiling(concurrency);
const api = await startServer("apiserver");
try {
  await apiPhases(api, ceiling);
} finally {
  await api.stop();
}
const whole = await startServer("apiserver,scheduler,controllers");
try {
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const cpu = whole.cpuSeconds();
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const idle = ((whole.cpuSeconds() - cpu) / 10) * 100;
  console.log(
    `whole master: ready after ${whole.readyMs.toFixed(0)} ms, ${whole.memoryMiB().toFixed(0)} MiB PSS, ${idle.toFixed(1)} % of a core idle`,
  );
} finally {
  await whole.stop();
}
