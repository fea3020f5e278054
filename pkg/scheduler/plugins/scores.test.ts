import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { ImageIndex } from "../cache/image-index.ts";
import { NodeInfo } from "../cache/node-info.ts";
import { PodInfo } from "../cache/pod-info.ts";
import { CycleState } from "../framework/types.ts";
import { nodeDraft, podDraft } from "../testing/cluster.ts";
import { stored } from "../testing/offline.ts";
import { imageLocality } from "./image-locality.ts";
import { nodeResourcesFit } from "./node-resources-fit.ts";
import type { NodeResourcesFitArgs } from "./node-resources-fit.ts";

function node(name: string, allocatable: Record<string, string>): NodeInfo {
  const info = new NodeInfo(name);
  info.setNode(stored(nodeDraft(name, { allocatable })));
  return info;
}
const pod = (requests: Record<string, string>) =>
  new PodInfo(stored<Pod>(podDraft("p", { containers: [{ name: "c", image: "nginx", resources: { requests } }] })));

describe("NodeResourcesFit strategies", () => {
  const small = node("small", { cpu: "4", memory: "10000", "example.com/gpu": "4" });
  const large = node("large", { cpu: "6", memory: "10000", "example.com/gpu": "8" });
  const scores = (args: NodeResourcesFitArgs, requests: Record<string, string>) => {
    const plugin = nodeResourcesFit(args);
    const info = pod(requests);
    return [small, large].map((one) => plugin.score!(info, info, one));
  };
  const asked = { cpu: "3", memory: "5000" };

  it("LeastAllocated prefers the emptier node", () => assert.deepEqual(scores({}, asked), [37, 50]));
  it("MostAllocated prefers the fuller node", () => {
    assert.deepEqual(scores({ scoringStrategy: { type: "MostAllocated" } }, asked), [62, 50]);
  });
  it("weighs resources, and leaves out an extended one that the pod does not use", () => {
    const resources = [
      { name: "cpu", weight: 3 },
      { name: "memory", weight: 1 },
      { name: "example.com/gpu", weight: 100 },
    ];
    assert.deepEqual(scores({ scoringStrategy: { resources } }, asked), [31, 50]);
    assert.deepEqual(
      scores({ scoringStrategy: { resources: [{ name: "example.com/gpu", weight: 1 }] } }, { "example.com/gpu": "2" }),
      [50, 75],
    );
  });
  it("RequestedToCapacityRatio follows its shape", () => {
    const shaped = (shape: readonly { utilization: number; score: number }[]): NodeResourcesFitArgs => ({
      scoringStrategy: {
        type: "RequestedToCapacityRatio",
        resources: [{ name: "cpu", weight: 1 }],
        requestedToCapacityRatio: { shape },
      },
    });
    assert.deepEqual(
      scores(
        shaped([
          { utilization: 0, score: 0 },
          { utilization: 100, score: 10 },
        ]),
        asked,
      ),
      [75, 50],
    );
    assert.deepEqual(
      scores(
        shaped([
          { utilization: 0, score: 10 },
          { utilization: 60, score: 4 },
          { utilization: 70, score: 1 },
        ]),
        asked,
      ),
      [10, 50],
    );
  });
  it("ignores what it is told to ignore", () => {
    const wants = pod({ "example.com/gpu": "100" });
    assert.equal(nodeResourcesFit().filter!(undefined, wants, small)?.code, "UnschedulableAndUnresolvable");
    assert.equal(
      nodeResourcesFit({ ignoredResourceGroups: ["example.com"] }).filter!(undefined, wants, small),
      undefined,
    );
    assert.equal(
      nodeResourcesFit({ ignoredResources: ["example.com/gpu"] }).filter!(undefined, wants, small),
      undefined,
    );
  });
});

describe("ImageLocality", () => {
  it("prefers nodes that have the image, less so when it is everywhere or small", () => {
    const index = new ImageIndex();
    const MIB = 1024 * 1024;
    const with_ = (name: string, images: Record<string, number>) => {
      const info = node(name, {});
      info.images = index.update(
        name,
        Object.entries(images).map(([image, mib]) => ({ names: [image], sizeBytes: mib * MIB })),
      );
      return info;
    };
    const nodes = [
      with_("has-it", { "nginx:latest": 500 }),
      with_("small-one", { "busybox:latest": 10 }),
      with_("empty", {}),
    ];
    const plugin = imageLocality(index, () => 3);
    const info = pod({});
    const prepared = plugin.preScore!(info, nodes, new CycleState());
    assert.ok(prepared !== "skip");
    // 500 MiB on one of three nodes counts as 166 MiB, on the scale from 23 to 1000.
    assert.deepEqual(
      nodes.map((one) => plugin.score!(prepared.state, info, one)),
      [14, 0, 0],
    );
    index.update("has-it", []);
    assert.equal(plugin.preScore!(info, nodes, new CycleState()), "skip", "nobody has it any more");
  });
});
