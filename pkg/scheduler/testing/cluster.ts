/** A scheduler on a real API server over the memory store, in one process, for this module's tests. */
import type { OwnerReference } from "#pkg/apimachinery/index.ts";
import { builtinResources } from "#pkg/api/index.ts";
import { nodes as nodesRef, pods as podsRef, namespaces as namespacesRef } from "#pkg/api/refs.ts";
import type { Node, Pod, PodSpec } from "#pkg/api/types/core-v1.ts";
import { createApiServer, createResourceRegistry } from "#pkg/apiserver/index.ts";
import {
  createClient,
  createSeriesRecorder,
  createInformerFactory,
  directTransport,
  waitFor,
} from "#pkg/client/index.ts";
import type { Client, Draft, Transport } from "#pkg/client/index.ts";
import { openMemoryStore } from "#pkg/storage/index.ts";
import { RealClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import type { Logger } from "#pkg/util/index.ts";
import { createScheduler } from "../create.ts";
import type { SchedulerDeps } from "../create.ts";
import type { Scheduler } from "../scheduler.ts";

export interface TestCluster {
  readonly client: Client;
  readonly scheduler: Scheduler;
  addNode(name: string, options?: NodeOptions): Promise<Node>;
  addPod(name: string, spec?: Partial<PodSpec>, options?: PodOptions): Promise<Pod>;
  pod(name: string): Promise<Pod>;
  /** The pod once it is bound; fails after some seconds. */
  bound(name: string): Promise<Pod>;
  /** The message of the pod's PodScheduled=False condition, once there is one. */
  refusal(name: string): Promise<string>;
  close(): Promise<void>;
}
export interface NodeOptions {
  readonly labels?: Record<string, string>;
  readonly allocatable?: Record<string, string>;
  readonly taints?: Node["spec"]["taints"];
  readonly unschedulable?: boolean;
}
export interface PodOptions {
  readonly labels?: Record<string, string>;
  readonly cpu?: string;
  readonly namespace?: string;
  readonly owner?: OwnerReference;
}

export async function startCluster(
  options: Partial<SchedulerDeps> & {
    readonly log?: Logger;
    readonly before?: (client: Client) => Promise<void>;
    /** Stands between scheduler and API server. */
    readonly wrap?: (transport: Transport) => Transport;
  } = {},
): Promise<TestCluster> {
  const clock = new RealClock();
  const log = options.log ?? silentLogger;
  const store = openMemoryStore();
  const registry = createResourceRegistry({ store, resources: builtinResources() });
  const api = createApiServer({
    registry,
    authenticator: { authenticate: () => Promise.resolve({ name: "test", groups: ["system:masters"] }) },
    authorizer: { authorize: () => ({ decision: "allow", reason: "" }) },
    admission: { admit: () => undefined, validate: () => undefined, settle: () => undefined },
  });
  await api.ready;
  const { wrap = (transport: Transport) => transport } = options;
  const client = createClient(wrap(directTransport(api.handler)), { userAgent: "scheduler-test", clock });
  await client.create(namespacesRef, { metadata: { name: "default" }, spec: {} });
  await options.before?.(client);
  const informers = createInformerFactory({ client, clock, log });
  const recorder = createSeriesRecorder({ client, host: "master", clock, log });
  const random = new SeededRandom(1);
  const scheduler = createScheduler({ client, informers, clock, random, log, recorder, ...options });
  const stop = new AbortController();
  informers.start(stop.signal);
  const running = scheduler.run(stop.signal);
  const wait = { clock, intervalMs: 5, timeoutMs: 120_000 };
  const pod = (name: string) => client.get(podsRef, { namespace: "default", name });
  return {
    client,
    scheduler,
    pod,
    addNode: (name, nodeOptions) => createNode(client, name, nodeOptions),
    addPod: (name, spec, podOptions) => createPod(client, name, spec, podOptions),
    bound: (name) =>
      waitFor(async () => {
        const current = await pod(name);
        return current.spec.nodeName === undefined ? undefined : current;
      }, wait),
    refusal: (name) =>
      waitFor(async () => {
        const condition = (await pod(name)).status?.conditions?.find(({ type }) => type === "PodScheduled");
        return condition?.status === "False" ? condition.message : undefined;
      }, wait),
    close: async () => {
      stop.abort();
      await running;
      await api.close();
      await store.close();
    },
  };
}

const ALLOCATABLE = { cpu: "4", memory: "8Gi", pods: "110", "ephemeral-storage": "100Gi" };

export function nodeDraft(name: string, options: NodeOptions = {}): Draft<Node> {
  const allocatable = { ...ALLOCATABLE, ...options.allocatable };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...options.labels } },
    spec: { ...(options.taints === undefined ? {} : { taints: options.taints }), unschedulable: options.unschedulable },
    status: { allocatable, capacity: allocatable },
  };
}

async function createNode(client: Client, name: string, options?: NodeOptions): Promise<Node> {
  const draft = nodeDraft(name, options);
  const node = await client.create(nodesRef, draft);
  return client.patch(
    nodesRef,
    { namespace: "", name: node.metadata.name },
    "merge",
    { status: draft.status },
    { subresource: "status" },
  );
}

export function podDraft(name: string, spec: Partial<PodSpec> = {}, options: PodOptions = {}): Draft<Pod> {
  const resources = options.cpu === undefined ? {} : { resources: { requests: { cpu: options.cpu } } };
  const { namespace = "default", labels, owner } = options;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      namespace,
      name,
      ...(labels === undefined ? {} : { labels }),
      ...(owner === undefined ? {} : { ownerReferences: [owner] }),
    },
    spec: { containers: [{ name: "main", image: "nginx", ...resources }], terminationGracePeriodSeconds: 0, ...spec },
  };
}

function createPod(client: Client, name: string, spec?: Partial<PodSpec>, options?: PodOptions): Promise<Pod> {
  return client.create(podsRef, podDraft(name, spec, options));
}
