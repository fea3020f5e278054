/** A real API server over the memory store, without authentication, for tests of the node. */
import { ignoreAlreadyExists } from "#pkg/apimachinery/index.ts";
import { builtinResources } from "#pkg/api/index.ts";
import { namespaces, pods } from "#pkg/api/refs.ts";
import type { Pod, PodSpec } from "#pkg/api/types/core-v1.ts";
import { createApiServer, createResourceRegistry } from "#pkg/apiserver/index.ts";
import { createClient, directTransport } from "#pkg/client/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { openMemoryStore } from "#pkg/storage/index.ts";
import { RealClock, SecureRandom, silentLogger } from "#pkg/util/index.ts";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** The kubelet has more than the API server lets in by default. */
const GATES: ReadonlySet<string> = new Set(["ContainerStopSignals", "ClusterTrustBundleProjection"]);

export interface TestCluster {
  readonly client: Client;
  stop(): Promise<void>;
}

export async function startCluster(): Promise<TestCluster> {
  const clock = new RealClock();
  const random = new SecureRandom();
  const store = openMemoryStore({ clock });
  const registry = createResourceRegistry({
    store,
    resources: builtinResources({ gates: GATES }),
    clock,
    log: silentLogger,
  });
  const server = createApiServer({
    registry,
    authenticator: { authenticate: async () => ({ name: "admin", groups: ["system:masters"] }) },
    authorizer: { authorize: () => ({ decision: "allow", reason: "" }) },
    admission: { admit() {}, validate() {}, settle() {} },
    clock,
    random,
    log: silentLogger,
  });
  await server.ready;
  const transport = directTransport(server.handler as never, { user: { name: "admin", groups: ["system:masters"] } });
  const client = createClient(transport, { clock } as never);
  for (const name of ["default", "kube-node-lease", "kube-system"]) {
    await ignoreAlreadyExists(
      client.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name }, spec: {} } as never),
    );
  }
  return {
    client,
    async stop() {
      transport.close();
      await server.close();
      await store.close();
    },
  };
}

/**
 * Configuration of a test's kubelet: everything below one directory and one cgroup, on ports that nobody else has, with a
 * server that is open to all.
 */
export function configBelow(directory: string, cgroupRoot: string) {
  return {
    rootDirectory: join(directory, "kubelet"),
    podLogsDir: join(directory, "pods"),
    containerLogsDir: join(directory, "containers"),
    cgroupRoot,
    port: 0,
    address: "127.0.0.1",
    healthzPort: 0,
    anonymousAuth: true,
    authorizationMode: "AlwaysAllow" as const,
  };
}

export function podOf(
  name: string,
  nodeName: string,
  spec: Partial<PodSpec> & Pick<PodSpec, "containers">,
  metadata: Partial<Pod["metadata"]> = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", ...metadata },
    spec: { nodeName, terminationGracePeriodSeconds: 1, ...spec },
  } as Pod;
}

/** Waits for the pod to satisfy `condition`; rejects with its last state after `timeoutMs`. */
export async function waitForPod(
  client: Client,
  name: string,
  condition: (pod: Pod) => boolean,
  timeoutMs = 120_000,
): Promise<Pod> {
  const end = performance.now() + timeoutMs;
  let pod = await client.get(pods, { namespace: "default", name });
  while (!condition(pod)) {
    if (performance.now() > end)
      throw new Error(`pod ${name} did not get there: ${JSON.stringify(pod.status, undefined, 1)}`);
    await delay(20);
    pod = await client.get(pods, { namespace: "default", name });
  }
  return pod;
}
