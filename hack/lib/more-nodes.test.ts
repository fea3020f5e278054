import assert from "node:assert/strict";
import { test } from "node:test";
import { freeNetwork, reachableServers } from "./more-nodes.ts";

test("the nodes' network is one that no route of the machine leads into", () => {
  assert.equal(freeNetwork([]), "172.30.0");
  assert.equal(freeNetwork(["192.0.2.0/24", "10.244.1.0/24"]), "172.30.0");
  assert.equal(freeNetwork(["172.30.0.7"]), "172.29.0");
  assert.equal(freeNetwork(["172.16.0.0/12"]), "10.230.0");
  assert.equal(freeNetwork(["172.16.0.0/12", "10.0.0.0/8"]), "192.168.230");
  assert.throws(() => freeNetwork(["10.0.0.0/8"], ["10.230.0"]), /none of 10\.230\.0 is free/);
});

test("name servers on loopback are of no use to a network namespace", () => {
  assert.deepEqual(reachableServers("# a comment\nnameserver 127.0.0.53\nnameserver ::1\noptions edns0\n"), []);
  assert.deepEqual(reachableServers("nameserver 10.0.0.2\n nameserver fd00::2\n"), ["10.0.0.2", "fd00::2"]);
});
