import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { pods } from "#pkg/api/refs.ts";
import type { Pod, PodSpec } from "#pkg/api/types/core-v1.ts";
import { waitFor } from "#pkg/client/index.ts";
import { FakeClock, RealClock, SeededRandom } from "#pkg/util/index.ts";
import { PodInfo } from "./cache/pod-info.ts";
import { CycleState } from "./framework/types.ts";
import { nodeDraft, podDraft, startCluster } from "./testing/cluster.ts";
import type { TestCluster } from "./testing/cluster.ts";
import { offlineScheduler, stored } from "./testing/offline.ts";

const HOSTNAME = "kubernetes.io/hostname";
const terms = (...labelSelectors: object[]) => ({
  requiredDuringSchedulingIgnoredDuringExecution: labelSelectors.map((labelSelector) => ({
    topologyKey: HOSTNAME,
    labelSelector,
  })),
});
const request = (requests: Record<string, string>, limits?: Record<string, string>): Partial<PodSpec> => ({
  containers: [{ name: "c", image: "x", resources: { requests, ...(limits === undefined ? {} : { limits }) } }],
});

describe("pods that cannot be scheduled, through the API", () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster.close());

  it("wait without a node, quietly, until there is one", async () => {
    await cluster.addPod("first");
    assert.equal(await cluster.refusal("first"), "no nodes available to schedule pods");
    const before = (await cluster.pod("first")).metadata.resourceVersion;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal((await cluster.pod("first")).metadata.resourceVersion, before);
    await cluster.addNode("n1");
    await cluster.bound("first");
  });

  it("say why, and the others are scheduled on time", async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => `v${i}`);
    const hostile: Record<string, Partial<PodSpec>> = {
      contradiction: {
        affinity: {
          podAffinity: terms({ matchLabels: { a: "b" } }),
          podAntiAffinity: terms({ matchLabels: { a: "b" } }),
        },
      },
      "ten-thousand": {
        affinity: { podAffinity: terms({ matchExpressions: [{ key: "app", operator: "In", values: many }] }) },
      },
      enormous: request({ memory: "8Ei", cpu: "9223372036854775807" }),
      "no-such-resource": request({ "example.com/unobtainium": "1" }, { "example.com/unobtainium": "1" }),
      devices: { resourceClaims: [{ name: "gpu", resourceClaimName: "gpu" }] },
      nowhere: { nodeSelector: { nothing: "like-this" } },
    };
    for (const [name, spec] of Object.entries(hostile)) await cluster.addPod(name, spec);
    const start = performance.now();
    await cluster.addPod("ordinary");
    await cluster.bound("ordinary");
    assert.ok(performance.now() - start < 4_000);
    const reasons = await Promise.all(
      Object.keys(hostile).map(async (name) => (await cluster.refusal(name)).split(". ")[0]),
    );
    assert.deepEqual(reasons, [
      "0/1 nodes are available: 1 node(s) didn't match pod affinity rules",
      "0/1 nodes are available: 1 node(s) didn't match pod affinity rules",
      "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory",
      "0/1 nodes are available: 1 Insufficient example.com/unobtainium",
      "0/1 nodes are available: pod uses resource claims, and this scheduler does not allocate devices",
      "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector",
    ]);
  });

  it("that are deleted while waiting are forgotten", async () => {
    await cluster.client.delete(pods, { namespace: "default", name: "nowhere" });
    const wait = { clock: new RealClock(), intervalMs: 5, timeoutMs: 120_000 };
    await waitFor(() => cluster.scheduler.explain("default/nowhere") === undefined, wait);
  });
});

describe("what validation would not let through", () => {
  const place = (spec: Partial<PodSpec>) => {
    const { cache, search, profile } = offlineScheduler({ clock: new FakeClock(), random: new SeededRandom(1) });
    cache.setNode(stored(nodeDraft("n1", { allocatable: { cpu: "1" } })));
    const other = new PodInfo(stored<Pod>(podDraft("other", request({ cpu: "1" }))));
    cache.setPod(other, "n1");
    const info = new PodInfo(stored<Pod>(podDraft("hostile", spec)));
    return {
      info,
      result: info.problem ?? search.search(profile, info, new CycleState(), new AbortController().signal),
      cache,
    };
  };

  it("negative requests make no room", () => {
    const { cache, info } = place(request({ cpu: "-5" }));
    cache.assume(info, "n1");
    assert.equal(cache.node("n1")?.requested.milliCpu, 1000);
  });

  it("a quantity or selector that cannot be read is named, and the pod still counts as far as it can be read", () => {
    assert.match(String(place(request({ cpu: "lots" })).result), /quantities must match/);
    const selector = { matchExpressions: [{ key: "a", operator: "Near", values: ["b"] }] };
    assert.match(
      String(place({ affinity: { podAntiAffinity: terms(selector) } }).result),
      /"Near" is not a valid label selector operator/,
    );
  });

  it("a node that lies about what it has gets nothing, or what its word is good for, and the others are used", () => {
    const { cache, search, profile } = offlineScheduler({ clock: new FakeClock(), random: new SeededRandom(1) });
    const lies = {
      negative: { cpu: "-4", memory: "-1Gi" },
      unreadable: { cpu: "lots" },
      none: { cpu: "0", memory: "0", pods: "0" },
      "no-pods": { pods: "-110" },
    };
    for (const [name, allocatable] of Object.entries(lies)) cache.setNode(stored(nodeDraft(name, { allocatable })));
    const never = new AbortController().signal;
    const search1 = (name: string, cpu: string) => {
      const info = new PodInfo(stored<Pod>(podDraft(name, request({ cpu }))));
      const result = search.search(profile, info, new CycleState(), never);
      assert.ok(!(result instanceof Promise));
      return { info, result };
    };
    const refused = search1("a", "100m").result;
    assert.ok("unschedulable" in refused && refused.unschedulable.statuses.size === 4);
    cache.setNode(stored(nodeDraft("honest", { allocatable: { cpu: "1" } })));
    cache.setNode(stored(nodeDraft("boundless", { allocatable: { cpu: "999999999999999999E", memory: "8Ei" } })));
    for (let i = 0; i < 40; i++) {
      const { info, result } = search1(`p${i}`, "100m");
      assert.ok("found" in result && ["honest", "boundless"].includes(result.found.name));
      cache.assume(info, result.found.name);
    }
    assert.ok(cache.node("honest")!.requested.milliCpu <= 1000);
  });

  it("topology keys that no node has cost nothing, however many there are", () => {
    const { cache } = place({});
    const slots = cache.node("n1")!.domains.length;
    for (let i = 0; i < 10_000; i++) assert.equal(cache.topology.track(`made-up/${i}`).slot, 0);
    assert.equal(cache.node("n1")!.domains.length, slots);
    cache.setNode(stored(nodeDraft("n2", { labels: { "made-up/7": "x" } })));
    assert.notEqual(cache.topology.track("made-up/7").slot, 0, "a label that a node has is a topology");
  });

  it("more affinity terms than anybody needs are refused", () => {
    const many = Array.from({ length: 5_000 }, (_, i) => ({ matchLabels: { app: `a${i}` } }));
    const { result } = place({ affinity: { podAntiAffinity: terms(...many) } });
    assert.equal(result, "pod states 5000 affinity terms and spread constraints, more than 1000");
  });

  it("ten thousand host ports are checked in no time", () => {
    const ports = Array.from({ length: 10_000 }, (_, i) => ({ containerPort: 1, hostPort: i + 1 }));
    const { cache, search, profile } = offlineScheduler({ clock: new FakeClock(), random: new SeededRandom(1) });
    for (let i = 0; i < 100; i++) {
      cache.setNode(stored(nodeDraft(`n${i}`)));
      const first = {
        containers: [{ name: "c", ports: [...ports.slice(0, -1), { containerPort: 1, hostPort: 20_000 }] }],
      };
      cache.setPod(new PodInfo(stored<Pod>(podDraft(`first-${i}`, first))), `n${i}`);
    }
    const start = performance.now();
    const info = new PodInfo(
      stored<Pod>(podDraft("second", { containers: [{ name: "c", ports: ports.slice(-1).concat(ports.slice(-1)) }] })),
    );
    const result = search.search(profile, info, new CycleState(), new AbortController().signal);
    assert.ok("found" in result, "port 10000 is free");
    const all = new PodInfo(stored<Pod>(podDraft("third", { containers: [{ name: "c", ports: ports.toReversed() }] })));
    assert.ok("unschedulable" in search.search(profile, all, new CycleState(), new AbortController().signal));
    assert.ok(performance.now() - start < 4_000);
  });

  it("labels named like members of every object select nothing by accident", () => {
    for (const key of ["constructor", "__proto__", "toString"]) {
      const expression = { key, operator: "Exists" };
      const affinity = {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [expression] }] },
        },
      };
      assert.ok(
        typeof place({ affinity }).result === "object" && "unschedulable" in (place({ affinity }).result as object),
        key,
      );
    }
  });
});
