import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock, SeededRandom } from "#pkg/util/index.ts";
import { ConfigurationError, parseSchedulerConfiguration, pluginsOf } from "./config.ts";
import { makeProfile } from "./framework/profile.ts";
import type { Plugin } from "./framework/types.ts";
import { offlineScheduler } from "./testing/offline.ts";

const header = { apiVersion: "kubescheduler.config.k8s.io/v1", kind: "KubeSchedulerConfiguration" };
const { handle } = offlineScheduler({ clock: new FakeClock(), random: new SeededRandom(1) });

function profileOf(plugins: object, extra: ReadonlyMap<string, () => Plugin> = new Map()) {
  const config = parseSchedulerConfiguration({ ...header, profiles: [{ schedulerName: "mine", plugins }] });
  return makeProfile("mine", pluginsOf(config.profiles[0]!, extra, handle), 0);
}
const names = (plugins: readonly Plugin[]) => plugins.map(({ name }) => name);

const withArgs = (name: string, args: unknown) => ({ ...header, profiles: [{ pluginConfig: [{ name, args }] }] });

describe("KubeSchedulerConfiguration", () => {
  it("gives the default profile and timings when it says nothing", () => {
    const config = parseSchedulerConfiguration(header);
    assert.deepEqual(
      config.profiles.map(({ schedulerName }) => schedulerName),
      ["default-scheduler"],
    );
    assert.deepEqual([config.podInitialBackoffSeconds, config.podMaxBackoffSeconds], [1, 10]);
  });

  it("orders the default plugins and weighs them as upstream does", () => {
    const { filter, score } = profileOf({});
    assert.deepEqual(names(filter), [
      "NodeUnschedulable",
      "NodeName",
      "TaintToleration",
      "NodeAffinity",
      "NodePorts",
      "NodeResourcesFit",
      "VolumeRestrictions",
      "NodeVolumeLimits",
      "VolumeBinding",
      "VolumeZone",
      "PodTopologySpread",
      "InterPodAffinity",
      "DynamicResources",
    ]);
    assert.deepEqual(Object.fromEntries(score.map(({ plugin, weight }) => [plugin.name, weight])), {
      TaintToleration: 3,
      NodeAffinity: 2,
      NodeResourcesFit: 1,
      PodTopologySpread: 2,
      InterPodAffinity: 2,
      NodeResourcesBalancedAllocation: 1,
      ImageLocality: 1,
    });
  });

  it("switches plugins off, at one point or everywhere, and changes weights", () => {
    const profile = profileOf({
      multiPoint: { disabled: [{ name: "ImageLocality" }] },
      score: { disabled: [{ name: "NodeResourcesFit" }], enabled: [{ name: "NodeAffinity", weight: 7 }] },
    });
    assert.ok(
      !profile.score.some(({ plugin }) => plugin.name === "ImageLocality" || plugin.name === "NodeResourcesFit"),
    );
    assert.ok(names(profile.filter).includes("NodeResourcesFit"), "it still filters");
    assert.equal(profile.score.find(({ plugin }) => plugin.name === "NodeAffinity")?.weight, 7);
    assert.deepEqual(profileOf({ score: { disabled: [{ name: "*" }] } }).score, []);
  });

  it("takes in a plugin from outside, one exported object", () => {
    const luckyNode: Plugin = { name: "LuckyNode", filter: () => undefined, score: () => 100 };
    const extra = new Map([["LuckyNode", () => luckyNode]]);
    const profile = profileOf({ multiPoint: { enabled: [{ name: "LuckyNode", weight: 5 }] } }, extra);
    assert.equal(names(profile.filter).at(-1), "LuckyNode");
    assert.equal(profile.score.at(-1)?.weight, 5);
    const onlyScore = profileOf({ score: { enabled: [{ name: "LuckyNode" }] } }, extra);
    assert.ok(!names(onlyScore.filter).includes("LuckyNode"));
    assert.equal(onlyScore.score.at(-1)?.plugin, luckyNode);
  });

  it("leaves what an extender keeps account of to the extender", () => {
    const managedResources = [{ name: "a.b/c", ignoredByScheduler: true }, { name: "a.b/d" }];
    const { profiles } = parseSchedulerConfiguration({
      ...withArgs("NodeResourcesFit", { ignoredResources: ["x.y/z"] }),
      extenders: [{ urlPrefix: "http://x", filterVerb: "filter", managedResources }],
    });
    assert.deepEqual(profiles[0]?.pluginConfig.get("NodeResourcesFit"), { ignoredResources: ["x.y/z", "a.b/c"] });
  });

  for (const [what, config, message] of [
    ["another kind", { kind: "Pod" }, /expected kind KubeSchedulerConfiguration/],
    [
      "two profiles of one name",
      { ...header, profiles: [{ schedulerName: "a" }, { schedulerName: "a" }] },
      /^profiles\[1\]\.schedulerName: Duplicate value: "a"$/,
    ],
    [
      "profiles without a name",
      { ...header, profiles: [{ schedulerName: "a" }, {}] },
      /^profiles\[1\]\.schedulerName: Required value$/,
    ],
    [
      "profiles with queues of different order",
      {
        ...header,
        profiles: [
          { schedulerName: "a" },
          { schedulerName: "b", plugins: { queueSort: { enabled: [{ name: "Mine" }], disabled: [{ name: "*" }] } } },
        ],
      },
      /^profiles\[1\]\.plugins\.queueSort: Invalid value: .*: has to match for all profiles$/,
    ],
    [
      "two extenders that bind",
      { ...header, extenders: ["http://x", "http://y"].map((urlPrefix) => ({ urlPrefix, bindVerb: "bind" })) },
      /only one extender can implement bind/,
    ],
    [
      "no work at all",
      { ...header, parallelism: 0 },
      /^parallelism: Invalid value: 0: should be an integer value greater than zero$/,
    ],
    [
      "fields that nobody knows",
      { ...header, profils: [], extenders: [{ urlPrefix: "http://x", timeout: "5s" }] },
      /^strict decoding error: unknown field "profils", unknown field "extenders\[0\]\.timeout"$/,
    ],
    [
      "arguments that nobody knows",
      withArgs("NodeResourcesFit", { scoringStrategy: { type: "MostAllocated", resource: [] } }),
      /^strict decoding error: unknown field "scoringStrategy\.resource"$/,
    ],
    [
      "an unknown extension point",
      { ...header, profiles: [{ plugins: { fliter: {} } }] },
      /^strict decoding error: unknown field "profiles\[0\]\.plugins\.fliter"$/,
    ],
    [
      "a backoff that shrinks",
      { ...header, podInitialBackoffSeconds: 20 },
      /^podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds$/,
    ],
    ["a percentage above 100", { ...header, percentageOfNodesToScore: 101 }, /percentageOfNodesToScore/],
    ["an extender without URL", { ...header, extenders: [{}] }, /extenders\[0\]\.urlPrefix: Required value/],
    [
      "a strategy that does not exist",
      withArgs("NodeResourcesFit", { scoringStrategy: { type: "Random" } }),
      /NodeResourcesFit\]\.args: scoringStrategy\.type: Unsupported value: "Random"/,
    ],
    [
      "a shape that goes back",
      withArgs("NodeResourcesFit", {
        scoringStrategy: {
          type: "RequestedToCapacityRatio",
          requestedToCapacityRatio: {
            shape: [
              { utilization: 50, score: 0 },
              { utilization: 0, score: 10 },
            ],
          },
        },
      }),
      /shape\[1\]\.utilization: Invalid value: 0: utilization values must be sorted in increasing order/,
    ],
    [
      "a weight of affinity beyond 100",
      withArgs("InterPodAffinity", { hardPodAffinityWeight: 101 }),
      /hardPodAffinityWeight: Invalid value: 101: not in valid range \[0-100\]/,
    ],
    [
      "preemption that looks at no node",
      withArgs("DefaultPreemption", { minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0 }),
      /cannot be zero at the same time/,
    ],
    [
      "default constraints of the system",
      withArgs("PodTopologySpread", { defaultConstraints: [{ maxSkew: 1 }] }),
      /\.defaultingType must be "List"/,
    ],
    ["a timeout in the past", withArgs("VolumeBinding", { bindTimeoutSeconds: -1 }), /should not be a negative value/],
    [
      "a timeout without unit",
      { ...header, extenders: [{ urlPrefix: "http://x", httpTimeout: "5" }] },
      /httpTimeout: not a duration/,
    ],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => parseSchedulerConfiguration(config),
        (error) => error instanceof ConfigurationError && message.test(error.message),
      );
    });
  }
  it("refuses a plugin that nobody knows", () => {
    assert.throws(() => profileOf({ filter: { enabled: [{ name: "Nope" }] } }), /there is no plugin named Nope/);
  });
});
