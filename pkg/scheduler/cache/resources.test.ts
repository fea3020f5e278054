import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container, Pod, PodSpec } from "#pkg/api/types/core-v1.ts";
import { podDraft } from "../testing/cluster.ts";
import { stored } from "../testing/offline.ts";
import { podRequests, readResources } from "./resources.ts";

const container = (cpu: string, more: Partial<Container> = {}): Container => ({
  name: "c",
  resources: { requests: { cpu } },
  ...more,
});
const sidecar = (cpu: string) => container(cpu, { restartPolicy: "Always" });
const milliCpu = (spec: Partial<PodSpec>) => podRequests(stored<Pod>(podDraft("p", spec))).requests.milliCpu;

describe("podRequests", () => {
  const cases: readonly (readonly [string, Partial<PodSpec>, number])[] = [
    ["adds containers up", { containers: [container("1"), container("500m")] }, 1500],
    [
      "takes the largest init container where that is more",
      { containers: [container("1")], initContainers: [container("3"), container("2")] },
      3000,
    ],
    ["keeps sidecars beside the containers", { containers: [container("1")], initContainers: [sidecar("2")] }, 3000],
    [
      "counts an init container with the sidecars started before it, not with later ones",
      { containers: [container("1")], initContainers: [sidecar("1"), container("4"), sidecar("2")] },
      5000,
    ],
    ["adds overhead", { containers: [container("1")], overhead: { cpu: "250m" } }, 1250],
    [
      "goes by what is requested for the pod as a whole",
      { containers: [container("1")], resources: { requests: { cpu: "4" } } },
      4000,
    ],
  ];
  for (const [what, spec, expected] of cases) it(what, () => assert.equal(milliCpu(spec), expected));

  it("holds what a resize has not yet given back, and not what cannot be had", () => {
    const resizing = (wanted: string, inForce: string, infeasible: boolean): Pod => ({
      ...stored<Pod>(podDraft("p", { containers: [container(wanted)] })),
      status: {
        containerStatuses: [
          {
            name: "c",
            image: "x",
            imageID: "",
            ready: true,
            restartCount: 0,
            allocatedResources: { cpu: inForce },
            resources: { requests: { cpu: inForce } },
          },
        ],
        conditions: infeasible ? [{ type: "PodResizePending", status: "True", reason: "Infeasible" }] : [],
      },
    });
    assert.equal(podRequests(resizing("1", "2", false)).requests.milliCpu, 2000, "shrinking");
    assert.equal(podRequests(resizing("3", "2", false)).requests.milliCpu, 3000, "growing");
    assert.equal(podRequests(resizing("30", "2", true)).requests.milliCpu, 2000, "impossible");
  });

  it("counts containers without requests as the defaults in scoring only", () => {
    const { requests, nonZero } = podRequests(
      stored<Pod>(podDraft("p", { containers: [{ name: "a" }, container("1", { name: "b" })] })),
    );
    assert.deepEqual([requests.milliCpu, requests.memory], [1000, 0]);
    assert.deepEqual(nonZero, { milliCpu: 1100, memory: 2 * 200 * 1024 * 1024 });
  });
});

describe("readResources", () => {
  it("reads plain and unusual quantities alike", () => {
    const resources = readResources({
      cpu: "1500m",
      memory: "1.5Gi",
      "ephemeral-storage": "10G",
      "example.com/gpu": "3",
      "hugepages-2Mi": "64Mi",
      pods: "110",
    });
    assert.deepEqual([resources.milliCpu, resources.memory, resources.ephemeralStorage], [1500, 1.5 * 2 ** 30, 10e9]);
    assert.deepEqual(
      [...(resources.scalars ?? [])],
      [
        ["example.com/gpu", 3],
        ["hugepages-2Mi", 64 * 2 ** 20],
      ],
    );
  });
});
