import { after, before, describe, test } from "node:test";
import { startContainerd } from "./testing/containerd.ts";
import { CrashWalk } from "./testing/walk.ts";

describe("a pod survives the death of its kubelet, and of its runtime", () => {
  let crashes: CrashWalk;
  before(async () => {
    crashes = await CrashWalk.begin(startContainerd("10.213.9"));
  });
  after(() => crashes.end());

  for (const when of ["before", "after"] as const)
    test(`killed ${when} each call that changes the runtime: nothing restarted, nothing leaked`, () =>
      crashes.walk((step) => crashes.live(`walk-${when}-${step}`, { step, when })));

  test("its runtime killed at each of these calls: nothing restarted, nothing leaked", () =>
    crashes.walk((step) => crashes.liveWithOutage(`outage-${step}`, { step, when: "after" })));
});
