import assert from "node:assert/strict";
import { test } from "node:test";
import { JUMPS, parseSave } from "./jumps.ts";

test("jumps are found whatever the order of their matches, and doubles are counted", () => {
  const text = `*filter
:INPUT ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
-A INPUT -m comment --comment "kubernetes externally-visible service portals" -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -j LOG
COMMIT
`;
  const { chains, targets, jumps } = parseSave(text, JUMPS);
  assert.deepEqual([...chains], ["filter INPUT", "filter KUBE-EXTERNAL-SERVICES", "nat PREROUTING"]);
  assert.equal(targets.get("filter INPUT KUBE-EXTERNAL-SERVICES"), 3);
  const named = [...jumps].map(([{ table, chain }, count]) => `${table} ${chain} ${count}`);
  assert.deepEqual(named, ["filter INPUT 2", "nat PREROUTING 1"]);
});
