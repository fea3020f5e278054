import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeClock } from "#pkg/util/index.ts";
import { usageOf } from "./index.ts";

const clock = new FakeClock();

describe("usage", () => {
  const table: [string, string, object, Record<string, string>][] = [
    [
      "pods",
      "a pod with a sidecar and an initialiser",
      {
        spec: {
          containers: [{ resources: { requests: { cpu: "1", "example.com/gpu": "2" }, limits: { memory: "1Gi" } } }],
          initContainers: [
            { restartPolicy: "Always", resources: { requests: { cpu: "500m" } } },
            { resources: { requests: { cpu: "3" } } },
          ],
          overhead: { cpu: "100m" },
        },
      },
      {
        pods: "1",
        "count/pods": "1",
        cpu: "3600m",
        "requests.cpu": "3600m",
        "requests.example.com/gpu": "2",
        "limits.memory": "1Gi",
      },
    ],
    ["pods", "a finished pod", { spec: { containers: [] }, status: { phase: "Succeeded" } }, { "count/pods": "1" }],
    [
      "persistentvolumeclaims",
      "a claim with a class",
      { spec: { storageClassName: "gold", resources: { requests: { storage: "5Gi" } } } },
      {
        "count/persistentvolumeclaims": "1",
        persistentvolumeclaims: "1",
        "requests.storage": "5Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/requests.storage": "5Gi",
      },
    ],
    [
      "services",
      "a load balancer",
      { spec: { type: "LoadBalancer", ports: [{}, {}] } },
      { "count/services": "1", services: "1", "services.loadbalancers": "1", "services.nodeports": "2" },
    ],
  ];
  for (const [plural, name, object, expected] of table) {
    test(name, () => {
      const usage = usageOf("", plural, { metadata: {}, ...object }, clock);
      assert.deepEqual(Object.fromEntries([...usage].map(([key, quantity]) => [key, quantity.toString()])), expected);
    });
  }
});
