import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { ResourceQuota as Quota } from "#pkg/api/types/core-v1.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { type CacheEntry, RevisionConflictError } from "#pkg/storage/cacher/index.ts";
import { FakeClock } from "#pkg/util/index.ts";
import { MemorySource } from "../../source/index.ts";
import { attributesFor } from "../testing.ts";
import { ResourceQuota } from "./plugin.ts";

/** Quotas with compare-and-swap and a moment of latency, as the real cache has them. */
class FakeQuotas {
  readonly source = new MemorySource<Quota>();
  readonly #entries = new Map<string, CacheEntry>();
  #revision = 0;
  writes = 0;

  set(object: object): void {
    const { metadata } = object as KubeObject;
    const entry = this.#entry(object as KubeObject);
    this.#entries.set(`${metadata.namespace}/${metadata.name}`, entry);
    this.source.set(entry.object as unknown as Quota);
  }
  peek(namespace: string, name: string): CacheEntry | undefined {
    return this.#entries.get(`${namespace}/${name}`);
  }
  async update(expected: CacheEntry, object: KubeObject): Promise<CacheEntry> {
    await new Promise((resolve) => setImmediate(resolve));
    const current = this.peek(expected.namespace, expected.name);
    if (current !== expected) throw new RevisionConflictError(current);
    this.writes++;
    this.set(object);
    return this.peek(expected.namespace, expected.name)!;
  }
  used(name = "q"): Record<string, string> {
    return (this.peek("ns", name)!.object["status"] as { used: Record<string, string> }).used;
  }
  #entry(object: KubeObject): CacheEntry {
    const revision = ++this.#revision;
    const { namespace = "", name = "" } = object.metadata;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
    return {
      key: `${namespace}/${name}`,
      namespace,
      name,
      revision,
      object: stored,
      json: Buffer.alloc(0),
      leanJson: [],
      metadataJson: Buffer.alloc(0),
      variant: () => assert.fail(),
    };
  }
}

const quota = (hard: Record<string, string>, used?: Record<string, string>, spec: object = {}, name = "q"): object => ({
  metadata: { name, namespace: "ns" },
  spec: { hard, ...spec },
  status: { hard, used: used ?? Object.fromEntries(Object.keys(hard).map((key) => [key, "0"])) },
});
const pod = (requests: object = {}, limits: object = {}, more: object = {}): object => ({
  metadata: { name: "p", namespace: "ns" },
  spec: { containers: [{ name: "c", resources: { requests, limits } }], ...more },
});
const clock = new FakeClock();

describe("ResourceQuota", () => {
  let quotas: FakeQuotas;
  let plugin: ResourceQuota;
  beforeEach(() => {
    quotas = new FakeQuotas();
    plugin = new ResourceQuota(quotas.source, quotas, clock);
  });
  const create = async (object: object, resource = "pods", more: object = {}): Promise<void> => {
    const attributes = attributesFor(resource, { object, ...more });
    assert.equal(plugin.handles(attributes), true);
    await plugin.validate(attributes);
    await plugin.settle(attributes, true);
  };

  test("64 concurrent creators get exactly what is there", async () => {
    quotas.set(quota({ pods: "40", "requests.cpu": "100" }));
    const results = await Promise.allSettled(Array.from({ length: 64 }, () => create(pod({ cpu: "1500m" }))));
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 40);
    assert.deepEqual(quotas.used(), { pods: "40", "requests.cpu": "60" });
    assert.ok(quotas.writes <= 4, `${quotas.writes} writes for 40 charges`);
    const refused = results.find(({ status }) => status === "rejected") as PromiseRejectedResult;
    assert.equal(
      refused.reason.message,
      'pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=40, limited: pods=40',
    );
    assert.equal(refused.reason.code, 403);
  });

  test("several quotas: refused by one, charged to none", async () => {
    quotas.set(quota({ pods: "10" }, undefined, {}, "a"));
    quotas.set(quota({ "requests.memory": "1Gi" }, undefined, {}, "b"));
    await create(pod({ memory: "600Mi" }));
    await assert.rejects(
      create(pod({ memory: "600Mi" })),
      /exceeded quota: b, requested: requests.memory=600Mi, used: requests.memory=600Mi, limited: requests.memory=1Gi/,
    );
    assert.deepEqual(quotas.used("a"), { pods: "1" });
    assert.deepEqual(quotas.used("b"), { "requests.memory": "600Mi" });
  });

  test("a write that failed gives its charge back, unless the quota was recounted meanwhile", async () => {
    quotas.set(quota({ pods: "2" }));
    const attempt = async (recounted: boolean): Promise<void> => {
      const attributes = attributesFor("pods", { object: pod() });
      await plugin.validate(attributes);
      if (recounted) quotas.set(quota({ pods: "2" }, { pods: "0" }));
      await plugin.settle(attributes, false);
    };
    await attempt(false);
    assert.deepEqual(quotas.used(), { pods: "0" });
    await attempt(true);
    assert.deepEqual(quotas.used(), { pods: "0" });
  });

  test("loses races and still counts right", async () => {
    quotas.set(quota({ pods: "5" }));
    const charging = create(pod());
    quotas.set(quota({ pods: "5" }, { pods: "4" })); // the controller recounts while our write is on its way
    await charging;
    assert.deepEqual(quotas.used(), { pods: "5" });
    await assert.rejects(create(pod()), /exceeded quota/);
  });

  test("a cache that lags behind another server's writes does not stop it", async () => {
    quotas.set(quota({ pods: "5" }));
    const stale = quotas.peek("ns", "q")!;
    quotas.set(quota({ pods: "5" }, { pods: "3" })); // written elsewhere, not seen here yet
    const lagging = new ResourceQuota(
      quotas.source,
      { peek: () => stale, update: (entry, object) => quotas.update(entry, object) },
      clock,
    );
    const attempt = async (): Promise<void> => lagging.validate(attributesFor("pods", { object: pod() }));
    await attempt();
    assert.deepEqual(quotas.used(), { pods: "4" });
    await attempt();
    await assert.rejects(attempt(), /exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5/);
  });

  test("dry runs are checked, not charged", async () => {
    quotas.set(quota({ pods: "1" }));
    await create(pod(), "pods", { dryRun: true });
    assert.deepEqual(quotas.used(), { pods: "0" });
    await create(pod());
    await assert.rejects(create(pod(), "pods", { dryRun: true }), /exceeded quota/);
  });

  test("scopes decide which quota pays", async () => {
    const hard = { pods: "1" };
    quotas.set(quota(hard, undefined, { scopes: ["BestEffort"] }, "best"));
    quotas.set(quota(hard, undefined, { scopes: ["NotBestEffort"] }, "not-best"));
    quotas.set(quota(hard, undefined, { scopes: ["Terminating"] }, "terminating"));
    quotas.set(quota(hard, undefined, { scopes: ["NotTerminating"] }, "long"));
    quotas.set(
      quota(
        hard,
        undefined,
        { scopeSelector: { matchExpressions: [{ scopeName: "PriorityClass", operator: "In", values: ["high"] }] } },
        "high",
      ),
    );
    const usage = (): string[] =>
      ["best", "not-best", "terminating", "long", "high"].filter((name) => quotas.used(name)["pods"] === "1");
    await create(pod());
    assert.deepEqual(usage(), ["best", "long"]);
    await create(pod({ cpu: "1" }, {}, { activeDeadlineSeconds: 5, priorityClassName: "high" }));
    assert.deepEqual(usage(), ["best", "not-best", "terminating", "long", "high"]);
    await create({ metadata: { name: "c" } }, "configmaps"); // scoped quotas cover pods only
  });

  test("where cpu is limited, containers have to say what they need", async () => {
    quotas.set(quota({ "limits.cpu": "2", "requests.memory": "1Gi" }));
    await assert.rejects(create(pod()), /failed quota: q: must specify limits.cpu for: c; requests.memory for: c/);
  });

  test("a quota whose usage is unknown lets nothing in", async () => {
    quotas.set(quota({ pods: "2" }, {}));
    await assert.rejects(create(pod()), /status unknown for quota: q, resources: pods/);
  });

  test("updates pay the difference, when there is one", async () => {
    quotas.set(quota({ "services.nodeports": "2", services: "5" }));
    const service = (type: string, ports: number): object => ({
      metadata: { name: "s" },
      spec: { type, ports: Array.from({ length: ports }, () => ({})) },
    });
    await create(service("NodePort", 1), "services");
    await create(service("NodePort", 2), "services", { oldObject: service("NodePort", 1) });
    assert.deepEqual(quotas.used(), { "services.nodeports": "2", services: "1" });
    await create(service("ClusterIP", 2), "services", { oldObject: service("NodePort", 2) });
    await assert.rejects(
      create(service("LoadBalancer", 1), "services", { oldObject: service("ClusterIP", 1) }),
      /services.nodeports=1/,
    );
  });

  test("object counts of any kind", async () => {
    quotas.set(quota({ "count/replicasets.apps": "1", configmaps: "1" }));
    await create({ metadata: { name: "r" } }, "apps/replicasets");
    await assert.rejects(
      create({ metadata: { name: "r" } }, "apps/replicasets"),
      /requested: count\/replicasets.apps=1/,
    );
    await create({ metadata: { name: "c" } }, "configmaps");
    assert.deepEqual(quotas.used(), { "count/replicasets.apps": "1", configmaps: "1" });
  });
});
