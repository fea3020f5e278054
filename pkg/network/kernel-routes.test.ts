import assert from "node:assert/strict";
import { test } from "node:test";
import { rangesOfIPv4, rangesOfIPv6, routedRanges } from "./kernel-routes.ts";

const IPV4 = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	0002F40A	0C001EAC	0003	0	0	0	00FFFFFF	0	0	0
cni0	8001F40A	00000000	0001	0	0	0	80FFFFFF	0	0	0
`;
const IPV6 = `fd000244000000020000000000000000 40 00000000000000000000000000000000 00 fe80000000000000000000000000000a 00000400 00000003 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003     eth0
`;

test("the ranges of the kernel's tables, as its tools spell them", () => {
  assert.deepEqual([...rangesOfIPv4(IPV4)], ["0.0.0.0/0", "10.244.2.0/24", "10.244.1.128/25"]);
  assert.deepEqual([...rangesOfIPv6(IPV6)], ["fd00:244:0:2::/64", "::/0"]);
  assert.deepEqual([rangesOfIPv4(IPV4.split("\n")[0]!), rangesOfIPv6("")], [new Set(), new Set()]);
});

test("this machine's table can be read", async () => {
  for (const range of await routedRanges("/proc/net", false)) assert.match(range, /^\d+\.\d+\.\d+\.\d+\/\d+$/);
});
