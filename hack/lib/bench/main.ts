import { pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Client, Draft } from "#pkg/client/index.ts";
import { parseCommandLine } from "#pkg/util/index.ts";
import { buildPrograms } from "../cluster.ts";
import { BareServer, type Ceiling, inParallel } from "./ceiling.ts";
import { measureDefinitions } from "./definitions.ts";
import { measureNode } from "./node.ts";
import { using } from "./interruptible.ts";
import { measureFanOut, measureLists } from "./reads.ts";
import { schedulingPhases } from "./scheduling.ts";
import { type BenchServer, startServer } from "./server.ts";

const HELP = `Usage: hack/bench [--store sqlite|etcd] [--only api,master,node,definitions] [--n 2000] [--concurrency 16] [--pods 5000]
                  [--watchers 100] [--nodes 1000] [--definitions 200] [--runs 5]
       hack/bench scheduler [nodes] [pods]
       hack/bench network [services]

Measures kubits-master on an empty store: operations per second and the server's CPU time per operation, lists, watch
fan-out at rising rates (api); start-up, memory, idle CPU, and pods from created to bound (master). The last column
is what a bare node:http2 server does on the same machine in the same run: only ratios within one run mean something.
With --store etcd the store is an etcd that is started for it (Debian package etcd-server), and its CPU and memory count.
With --only node (as root), kubits-node on a containerd: pods from created to Ready beside a bare loop that makes the same
pods by the runtime's calls alone, medians of --runs; what of one pod's start is not spent in the runtime; memory and CPU
with 100 pods.
With --only definitions, what many custom resource definitions cost, and one with a schema of a megabyte.
The second form measures the scheduling cycle alone; the third what a change and a packet cost with many services, per mode
of the service proxy, and how many queries cluster DNS answers.
`;
const { values } = parseCommandLine("hack/bench", {
  options: {
    n: { type: "string", default: "2000" },
    concurrency: { type: "string", default: "16" },
    pods: { type: "string", default: "5000" },
    watchers: { type: "string", default: "100" },
    nodes: { type: "string", default: "1000" },
    definitions: { type: "string", default: "200" },
    store: { type: "string", default: "sqlite" },
    only: { type: "string", default: "api,master" },
    runs: { type: "string", default: "5" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const { store } = values;
if (store !== "sqlite" && store !== "etcd") throw new Error(`--store: ${store} is neither sqlite nor etcd`);
const n = Number(values.n);
const concurrency = Number(values.concurrency);
const NAMESPACE = "default";

/** How many creates are under way at a time. */
const CREATE_CONCURRENCIES = [1, 16, 64];
/** Creates after which V8 has compiled nearly all that it ever will: before, every second one pays for that. */
const WARM_UP = 5000;

/** `mark` makes the spec unlike that of any other pod. */
function podOf(name: string, mark = ""): Draft<Pod> {
  return {
    metadata: { name, namespace: NAMESPACE, labels: { app: "bench", tier: "backend" } },
    spec: {
      schedulerName: "none",
      containers: [
        {
          name: "main",
          image: "registry.k8s.io/pause:3.10",
          env: Array.from({ length: 8 }, (_, index) => ({ name: `VARIABLE_${index}`, value: `value-${index}${mark}` })),
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
  ceiling?: Ceiling,
  atATime = concurrency,
): Promise<void> {
  const cpu = server.cpuSeconds();
  const begun = performance.now();
  await inParallel(count, atATime, call);
  const seconds = (performance.now() - begun) / 1000;
  const perOperation = ((server.cpuSeconds() - cpu) / count) * 1e6;
  const beside =
    ceiling === undefined ? "" : `${ceiling.rate.toFixed(0).padStart(9)}/s, ${ceiling.cpuUs.toFixed(0)} us CPU bare`;
  console.log(
    `${title.padEnd(42)}${(count / seconds).toFixed(0).padStart(8)}/s${perOperation.toFixed(0).padStart(9)} us CPU${beside}`,
  );
}

function statusOf(index: number): Pod["status"] {
  const time = "2026-01-01T00:00:00Z";
  return {
    phase: "Running",
    podIP: `10.0.${(index >> 8) & 255}.${index & 255}`,
    startTime: time,
    conditions: ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map((type) => ({
      type,
      status: "True",
      lastTransitionTime: time,
    })),
    containerStatuses: [
      { name: "main", image: "registry.k8s.io/pause:3.10", imageID: "", ready: true, restartCount: 0, started: true },
    ],
  };
}

/** Pods of one template at several concurrencies, and pods that are all different. Returns how many there are then. */
async function createPhases(server: BenchServer, bare: BareServer): Promise<number> {
  const { client } = server;
  let made = 0;
  for (const atATime of CREATE_CONCURRENCIES) {
    const first = made;
    const count = atATime === 1 ? Math.ceil(n / 4) : n;
    const create = (index: number) => client.create(pods, podOf(`pod-${first + index}`));
    await phase(server, `create pod, ${atATime} at a time`, count, create, await bare.post(atATime), atATime);
    made += count;
  }
  await phase(server, "create pod, each of another spec", n, (index) =>
    client.create(pods, podOf(`other-${index}`, `-${index}`)),
  );
  return made + n;
}

async function apiPhases(server: BenchServer, bare: BareServer): Promise<void> {
  const client: Client = server.client;
  const get = await bare.get(concurrency);
  const post = await bare.post(concurrency);
  const key = (index: number) => ({ namespace: NAMESPACE, name: `pod-${index}` });
  await client.raw("POST", "/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
  await phase(server, "warm-up", WARM_UP, (index) => client.create(pods, podOf(`warm-${index}`)));
  await client.raw("DELETE", `/api/v1/namespaces/${NAMESPACE}/pods`);
  const made = await createPhases(server, bare);
  await phase(server, "get pod", n * 4, (index) => client.get(pods, key(index % n)), get);
  await phase(
    server,
    "merge patch",
    n,
    (index) => client.patch(pods, key(index), "merge", { metadata: { labels: { step: "merge" } } }),
    post,
  );
  await phase(
    server,
    "strategic merge patch",
    n,
    (index) => client.patch(pods, key(index), "strategic", { metadata: { labels: { step: "strategic" } } }),
    post,
  );
  await phase(
    server,
    "server-side apply",
    n,
    (index) => {
      const body = { apiVersion: "v1", kind: "Pod", metadata: { name: `pod-${index}`, labels: { step: "apply" } } };
      return client.patch(pods, key(index), "apply", body, { fieldManager: "bench", force: true });
    },
    post,
  );
  await phase(
    server,
    "put status",
    n,
    (index) => client.updateStatus(pods, { ...podOf(`pod-${index}`), status: statusOf(index) } as Pod),
    post,
  );
  await phase(
    server,
    "bind",
    n,
    (index) => {
      const name = `pod-${index}`;
      const binding = { metadata: { name }, target: { kind: "Node", name: `node-${index % 100}` } };
      return client.raw("POST", `/api/v1/namespaces/${NAMESPACE}/pods/${name}/binding`, binding);
    },
    post,
  );
  const more = Math.max(0, Number(values.pods) - made);
  await phase(server, `create up to ${values.pods} pods`, more, (index) => client.create(pods, podOf(`more-${index}`)));
  await measureLists(server, bare, NAMESPACE);
  await measureFanOut(server, bare, Number(values.watchers), NAMESPACE);
}

const stopped = (server: { stop(): Promise<void> }): Promise<void> => server.stop();

async function measureApi(): Promise<void> {
  await using(
    () => BareServer.start(),
    stopped,
    (bare) =>
      using(
        () => startServer({ components: "apiserver", store }),
        stopped,
        (api) => apiPhases(api, bare),
      ),
  );
}

async function measureWhole(whole: BenchServer): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20_000));
  const cpu = whole.cpuSeconds();
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const idle = ((whole.cpuSeconds() - cpu) / 10) * 100;
  console.log(
    `whole master: ready after ${whole.readyMs.toFixed(0)} ms, ${whole.memoryMiB().toFixed(0)} MiB PSS, ${idle.toFixed(1)} % of a core idle`,
  );
}

async function measureMaster(): Promise<void> {
  const components = "apiserver,scheduler,controllers";
  await using(() => startServer({ components, store }), stopped, measureWhole);
  // Nobody renews the leases of nodes that are names only, so nobody may look at them either.
  const flags = ["--controllers=*,-node-lifecycle-controller"];
  await using(
    () => startServer({ components, store, flags }),
    stopped,
    (loops) => schedulingPhases(loops, Number(values.nodes), n),
  );
}

await buildPrograms();
const parts = values.only.split(",");
if (parts.includes("api")) await measureApi();
if (parts.includes("master")) await measureMaster();
if (parts.includes("definitions")) await measureDefinitions(Number(values.definitions));
if (parts.includes("node")) await measureNode(Number(values.runs));
