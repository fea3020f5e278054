import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { waitFor } from "#pkg/client/index.ts";
import { RealClock } from "#pkg/util/index.ts";
import { parseSchedulerConfiguration } from "./config.ts";
import { unschedulable } from "./framework/status.ts";
import type { Plugin } from "./framework/types.ts";
import type { PluginFactory, PluginHandle } from "./plugins/registry.ts";
import { startCluster } from "./testing/cluster.ts";
import type { TestCluster } from "./testing/cluster.ts";

const wait = { clock: new RealClock(), intervalMs: 5, timeoutMs: 120_000 };

/** An out-of-tree plugin that does to each pod what the pod's label says, and notes what was asked of it. */
class Puppet {
  readonly calls: string[] = [];
  handle: PluginHandle | undefined;
  readonly factory: PluginFactory = (handle) => {
    this.handle = handle;
    const note = (point: string, name: string) => this.calls.push(`${point} ${name}`);
    const plugin: Plugin = {
      name: "Puppet",
      events: [{ resource: "Node", actions: ["Add"] }],
      reserve: ({ pod, labels }) => {
        note("reserve", pod.metadata.name);
        if (labels["fail"] === "throw-in-reserve") throw new Error("the strings are torn");
        return labels["fail"] === "reserve" ? unschedulable("nothing left to reserve") : undefined;
      },
      unreserve: ({ pod }) => void note("unreserve", pod.metadata.name),
      permit: ({ pod, labels }) => {
        note("permit", pod.metadata.name);
        if (labels["hold"] === undefined) return undefined;
        return { status: { code: "Wait", reasons: [] }, timeoutMs: labels["hold"] === "briefly" ? 50 : 60_000 };
      },
      preBind: ({ pod, labels }) => {
        note("preBind", pod.metadata.name);
        const attempts = this.calls.filter((call) => call === `preBind ${pod.metadata.name}`).length;
        return labels["fail"] === "preBind-once" && attempts === 1
          ? Promise.reject(new Error("not yet"))
          : Promise.resolve(undefined);
      },
      postBind: ({ pod }) => void note("postBind", pod.metadata.name),
    };
    return plugin;
  };
  of(name: string): string[] {
    return this.calls.filter((call) => call.endsWith(` ${name}`)).map((call) => call.split(" ")[0]!);
  }
}

describe("extension points of an out-of-tree plugin", () => {
  const puppet = new Puppet();
  let cluster: TestCluster;
  before(async () => {
    const profiles = [
      { schedulerName: "default-scheduler", plugins: { multiPoint: { enabled: [{ name: "Puppet" }] } } },
    ];
    const config = parseSchedulerConfiguration({
      apiVersion: "kubescheduler.config.k8s.io/v1",
      kind: "KubeSchedulerConfiguration",
      profiles,
    });
    cluster = await startCluster({ config, plugins: new Map([["Puppet", puppet.factory]]) });
    await cluster.addNode("n1");
  });
  after(() => cluster.close());

  it("are called in order", async () => {
    await cluster.addPod("simple");
    await cluster.bound("simple");
    await waitFor(() => puppet.of("simple").length === 4, wait);
    assert.deepEqual(puppet.of("simple"), ["reserve", "permit", "preBind", "postBind"]);
  });

  it("hold a pod back until it is allowed, while others go on", async () => {
    await cluster.addPod("held", {}, { labels: { hold: "long" } });
    await waitFor(() => puppet.of("held").includes("permit"), wait);
    await cluster.addPod("other");
    await cluster.bound("other");
    const held = await cluster.pod("held");
    assert.equal(held.spec.nodeName, undefined);
    puppet.handle!.waits.allow(held.metadata.uid, "Puppet");
    await cluster.bound("held");
  });

  it("reject a pod that is held, or held too long, and it gives back what it had", async () => {
    await cluster.addPod("unwanted", {}, { labels: { hold: "long" } });
    await waitFor(() => puppet.of("unwanted").includes("permit"), wait);
    puppet.handle!.waits.reject((await cluster.pod("unwanted")).metadata.uid, "Puppet", "go away");
    assert.equal(await cluster.refusal("unwanted"), "go away");
    await cluster.addPod("too-late", {}, { labels: { hold: "briefly" } });
    assert.equal(await cluster.refusal("too-late"), "rejected due to timeout after waiting 0.05s at plugin Puppet");
    for (const name of ["unwanted", "too-late"]) assert.deepEqual(puppet.of(name), ["reserve", "permit", "unreserve"]);
    const node = puppet.handle!.cache.node("n1");
    assert.ok(
      [...(node?.pods.values() ?? [])].every(({ pod }) => !["unwanted", "too-late"].includes(pod.metadata.name)),
    );
  });

  it("may refuse or break in Reserve: the pod says why, and only that pod", async () => {
    await cluster.addPod("greedy", {}, { labels: { fail: "reserve" } });
    assert.equal(await cluster.refusal("greedy"), "nothing left to reserve");
    await cluster.addPod("broken", {}, { labels: { fail: "throw-in-reserve" } });
    assert.match(await cluster.refusal("broken"), /the strings are torn/);
    await cluster.addPod("healthy");
    await cluster.bound("healthy");
  });

  it("is tried again after PreBind failed", async () => {
    await cluster.addPod("second-try", {}, { labels: { fail: "preBind-once" } });
    assert.match(await cluster.refusal("second-try"), /not yet/);
    await cluster.bound("second-try");
    assert.deepEqual(puppet.of("second-try").slice(0, 4), ["reserve", "permit", "preBind", "unreserve"]);
  });
});
