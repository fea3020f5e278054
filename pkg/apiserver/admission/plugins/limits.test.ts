import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LimitRange, Pod } from "#pkg/api/types/core-v1.ts";
import { LimitRanger } from "./limits.ts";
import { attributesFor, run } from "../testing.ts";
import { sourceOf, testPod } from "./testing.ts";

describe("LimitRanger", () => {
  const range = (...limits: object[]): LimitRanger =>
    new LimitRanger(sourceOf<LimitRange>({ metadata: { name: "l", namespace: "ns" }, spec: { limits } }));
  const withResources = (resources: object): Pod => testPod({ containers: [{ name: "c", resources }] });

  test("fills in defaults and says so", async () => {
    const object = testPod({ initContainers: [{ name: "i" }] });
    await run(
      range({
        type: "Container",
        default: { cpu: "500m", memory: "5Gi" },
        defaultRequest: { cpu: "50m", memory: "1Gi" },
      }),
      attributesFor("pods", { object }),
    );
    assert.deepEqual(object.spec!.containers[0]!.resources, {
      requests: { cpu: "50m", memory: "1Gi" },
      limits: { cpu: "500m", memory: "5Gi" },
    });
    assert.equal(
      object.metadata.annotations!["kubernetes.io/limit-ranger"],
      "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c; cpu, memory request for init container i; cpu, memory limit for init container i",
    );
  });
  const refusals: [string, object, object, string][] = [
    [
      "below minimum",
      { type: "Container", min: { cpu: "100m" } },
      { requests: { cpu: "50m" } },
      "minimum cpu usage per Container is 100m, but request is 50m",
    ],
    [
      "no request",
      { type: "Container", min: { cpu: "100m" } },
      {},
      "minimum cpu usage per Container is 100m.  No request is specified",
    ],
    [
      "above maximum",
      { type: "Container", max: { memory: "1Gi" } },
      { limits: { memory: "2Gi" } },
      "maximum memory usage per Container is 1Gi, but limit is 2Gi",
    ],
    [
      "no limit",
      { type: "Container", max: { memory: "1Gi" } },
      {},
      "maximum memory usage per Container is 1Gi.  No limit is specified",
    ],
    [
      "ratio",
      { type: "Container", maxLimitRequestRatio: { cpu: "2" } },
      { requests: { cpu: "1" }, limits: { cpu: "3" } },
      "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
    ],
    [
      "pod sum",
      { type: "Pod", max: { cpu: "1" } },
      { requests: { cpu: "2" }, limits: { cpu: "2" } },
      "maximum cpu usage per Pod is 1, but limit is 2",
    ],
  ];
  for (const [name, item, resources, message] of refusals) {
    test(name, async () => {
      await assert.rejects(run(range(item), attributesFor("pods", { object: withResources(resources) })), {
        message: `pods "p" is forbidden: ${message}`,
      });
    });
  }
  test("several complaints come in brackets", async () => {
    const bounds = { type: "Container", min: { cpu: "1" }, max: { memory: "1Gi" } };
    await assert.rejects(
      run(
        range(bounds),
        attributesFor("pods", { object: withResources({ requests: { cpu: "1m" }, limits: { memory: "2Gi" } }) }),
      ),
      {
        message:
          'pods "p" is forbidden: [minimum cpu usage per Container is 1, but request is 1m, maximum memory usage per Container is 1Gi, but limit is 2Gi]',
      },
    );
  });
  test("claims", async () => {
    const plugin = range({ type: "PersistentVolumeClaim", min: { storage: "1Gi" }, max: { storage: "10Gi" } });
    const claim = (storage: string): object => ({
      metadata: { name: "d" },
      spec: { resources: { requests: { storage } } },
    });
    await run(plugin, attributesFor("persistentvolumeclaims", { object: claim("5Gi") }));
    await assert.rejects(
      run(plugin, attributesFor("persistentvolumeclaims", { object: claim("20Gi") })),
      /maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi/,
    );
  });
  test("updates of pods are not judged again", async () => {
    await run(
      range({ type: "Container", min: { cpu: "1" } }),
      attributesFor("pods", { object: testPod(), oldObject: testPod() }),
    );
  });
});
