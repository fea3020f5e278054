import { after, before, describe, test } from "node:test";
import { startDockerd } from "../testing/dockerd.ts";
import { CrashWalk } from "../testing/walk.ts";

describe("a pod on Docker survives the death of its kubelet, and of dockerd", () => {
  let crashes: CrashWalk;
  before(async () => {
    crashes = await CrashWalk.begin(startDockerd("10.213.8"));
  });
  after(() => crashes.end());

  // Before a call is after the one before it: what differs is the kubelet's own business, and shown on containerd.
  test("killed after each call that changes the runtime: nothing restarted, nothing leaked", () =>
    crashes.walk((step) => crashes.live(`walk-${step}`, { step, when: "after" })));

  test("dockerd killed at each of these calls: nothing restarted, nothing leaked", () =>
    crashes.walk((step) => crashes.liveWithOutage(`outage-${step}`, { step, when: "after" })));
});
