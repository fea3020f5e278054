import assert from "node:assert/strict";
import { test } from "node:test";
import type { IPAddress, ServiceCIDR } from "#pkg/api/types/networking-v1.ts";
import { EARLIER, meta } from "../testing/objects.ts";
import { orphanedAddresses, planRange } from "./servicecidr.ts";

const finalizers = ["networking.k8s.io/service-cidr-finalizer"];
const range = (cidrs: string[], extra: object = {}): ServiceCIDR => ({
  metadata: meta(cidrs.join(), extra),
  spec: { cidrs },
});
const going = (...cidrs: string[]) => range(cidrs, { finalizers, deletionTimestamp: EARLIER });
const address = (name: string): IPAddress => ({ metadata: meta(name), spec: {} }) as IPAddress;
const orphans = (others: ServiceCIDR[], ...names: string[]) =>
  orphanedAddresses(going("10.96.0.0/24", "fd00:1::/112"), others, names.map(address)).map(
    ({ metadata }) => metadata.name,
  );

test("addresses of either family are orphaned unless a range that stays covers them", () => {
  assert.deepEqual(orphans([], "10.96.0.1", "10.96.1.1", "fd00:1::5", "fd00:2::5"), ["10.96.0.1", "fd00:1::5"]);
  assert.deepEqual(orphans([range(["10.96.0.0/16"])], "10.96.0.1", "fd00:1::5"), ["fd00:1::5"]);
  assert.deepEqual(orphans([range(["10.96.0.0/25"])], "10.96.0.127", "10.96.0.128"), ["10.96.0.128"]);
  assert.deepEqual(orphans([going("10.96.0.0/16")], "10.96.0.1"), ["10.96.0.1"], "the other goes as well");
});

test("a range is protected once and ready while it lives", () => {
  assert.deepEqual(planRange(range(["10.0.0.0/24"]), [], []), { type: "ready", protect: true });
  assert.deepEqual(planRange(range(["10.0.0.0/24"], { finalizers }), [], []), { type: "ready", protect: false });
});

test("a range that goes is held while it is needed; one that we do not hold is left alone", () => {
  const leaving = going("10.0.0.0/24");
  assert.deepEqual(planRange(leaving, [], [address("10.0.0.9")]), { type: "hold" });
  assert.deepEqual(planRange(leaving, [range(["10.0.0.0/8"])], [address("10.0.0.9")]), { type: "release" });
  assert.deepEqual(planRange(leaving, [], [address("10.0.1.9")]), { type: "release" });
  const others = range(["10.0.0.0/24"], { finalizers: ["example.com/other"], deletionTimestamp: EARLIER });
  assert.deepEqual(planRange(others, [], [address("10.0.0.9")]), { type: "leave" });
});
