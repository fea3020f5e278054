import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Api } from "../framework/api.ts";
import { eventually, useCluster, within } from "../framework/lab.ts";
import { pod } from "../framework/manifests.ts";

const context = useCluster("status");
const limit = within(90_000);
let opened: Api | undefined;
const server = async (): Promise<Api> => (opened ??= await new Api(context.cluster).ready());
after(() => opened?.close());

interface Status {
  readonly phase: string;
  readonly reason?: string;
  readonly message?: string;
  readonly hostIPs?: readonly object[];
  readonly podIPs?: readonly object[];
  readonly observedGeneration?: number;
  readonly conditions?: ReadonlyArray<{ type: string; status: string; observedGeneration: number }>;
  readonly containerStatuses?: ReadonlyArray<{ restartCount: number; state: Record<string, unknown> }>;
}
interface Seen {
  readonly metadata: { readonly generation: number };
  readonly status: Status;
}
const seen = (name: string) => context.cluster.get<Seen>("pod", name);

test("a pod's way to Running is told in few writes, none of them half done", limit, async () => {
  const { cluster } = context;
  const api = await server();
  const watching = api.watch(`/api/v1/namespaces/${cluster.namespace}/pods?watch=1&fieldSelector=metadata.name%3Dtold`);
  await cluster.apply(pod("told"));
  await cluster.ready("pod/told");
  const told = watching.events.map(({ object }) => object as unknown as Seen);
  watching.close();
  // Created, bound, taken on by the node, given its address, running.
  assert.ok(told.length <= 6, `${told.length} versions`);
  for (const { status } of told)
    for (const address of [...(status.hostIPs ?? []), ...(status.podIPs ?? [])])
      assert.deepEqual(Object.keys(address), ["ip"]);
  const { metadata, status } = await seen("told");
  const types = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
  assert.deepEqual(status.conditions?.map(({ type }) => type).sort(), types.sort());
  for (const condition of status.conditions ?? []) {
    assert.equal(condition.status, "True", condition.type);
    assert.equal(condition.observedGeneration, metadata.generation, condition.type);
  }
});

test("many changes of a spec are observed to the last, another image replaces the container", limit, async () => {
  const { cluster } = context;
  const api = await server();
  await cluster.apply(pod("changing", { spec: { restartPolicy: "Never" } }));
  await cluster.ready("pod/changing");
  const path = `/api/v1/namespaces/${cluster.namespace}/pods/changing`;
  for (let i = 1; i < 50; i++) {
    const answer = await api.ask(path, { method: "PATCH", body: { spec: { activeDeadlineSeconds: 10_000 - i } } });
    assert.equal(answer.status, 200, answer.text);
  }
  const observed = (generation: number) =>
    eventually(`generation ${generation} is observed`, async () => {
      const { metadata, status } = await seen("changing");
      return metadata.generation === generation && status.observedGeneration === generation ? true : undefined;
    });
  await observed(50);
  await cluster.kubectl(["set", "image", "pod/changing", "main=busybox:latest"]);
  await observed(51);
  await eventually("the container is another one", async () => {
    const [container] = (await seen("changing")).status.containerStatuses ?? [];
    return container?.restartCount === 1 && container.state["running"] !== undefined ? true : undefined;
  });
  const deleted = await api.ask(path, { method: "DELETE" });
  assert.equal((deleted.json as unknown as Seen).metadata.generation, 52);
});

test("a pod that its node refuses fails with the reason alone", limit, async () => {
  const { cluster } = context;
  const bound = (name: string, more: { container?: object; spec?: object }) =>
    pod(name, { ...more, spec: { nodeName: "node-1", ...more.spec } });
  const container = { ports: [{ containerPort: 80, hostPort: 24_680 }] };
  await cluster.apply(bound("first", { container }));
  await cluster.ready("pod/first");
  await cluster.apply([
    bound("second", { container }),
    bound("unsafe", { spec: { securityContext: { sysctls: [{ name: "kernel.msgmax", value: "8192" }] } } }),
    bound("large", { container: { resources: { requests: { cpu: "1000" } } } }),
  ]);
  const verdict = (name: string) =>
    eventually(`${name} is refused`, async () => {
      const { status } = await seen(name);
      return status.phase === "Failed" ? status : undefined;
    });
  for (const [name, reason, message] of [
    ["second", "NodePorts", /^Pod was rejected: Predicate NodePorts failed: node\(s\) didn't have free ports/],
    ["unsafe", "SysctlForbidden", /^Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted$/],
    ["large", "OutOfcpu", /^Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000, /],
  ] as const) {
    const status = await verdict(name);
    assert.equal(status.reason, reason);
    assert.match(status.message ?? "", message);
    assert.equal(status.containerStatuses, undefined);
  }
  assert.match(await cluster.kubectl(["get", "pod", "second"]), /second +0\/1 +NodePorts +0/);
});
