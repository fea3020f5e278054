import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CidrAllocator } from "./allocator.ts";
import { formatCidr, formatIp, overlaps, parseCidr, parseIp } from "./cidr.ts";

test("networks are read and written as everybody does", () => {
  for (const text of ["10.244.0.0/16", "0.0.0.0/0", "255.255.255.255/32", "fd00::/48", "::/0", "2001:db8::1/128"])
    assert.equal(formatCidr(parseCidr(text)), text);
  assert.equal(formatCidr(parseCidr("10.1.2.3/8")), "10.0.0.0/8");
  assert.equal(formatIp(parseIp("::ffff:1.2.3.4"), 128), "::ffff:102:304");
  for (const text of ["10.0.0.0", "10.0.0.0/33", "010.0.0.1/8", "1.2.3/8", "x/8", "fd00::/129"])
    assert.throws(() => parseCidr(text), text);
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 128n - 1n), (ip) => {
      assert.equal(parseIp(formatIp(ip, 128)), ip);
    }),
  );
});

test("each subnet is given once, services are left alone, and what comes back is given again later", () => {
  const allocator = new CidrAllocator("10.0.0.0/22", 24, ["10.0.1.0/25"]);
  assert.deepEqual(
    [allocator.allocate(), allocator.allocate(), allocator.allocate()],
    ["10.0.0.0/24", "10.0.2.0/24", "10.0.3.0/24"],
  );
  assert.equal(allocator.allocate(), undefined);
  allocator.release("10.0.2.0/24");
  assert.equal(allocator.allocate(), "10.0.2.0/24");
  const retried = new CidrAllocator("10.0.0.0/22", 24, []);
  retried.allocate();
  retried.takeBack(retried.allocate()!);
  assert.equal(retried.allocate(), "10.0.1.0/24", "what was given in vain is given again at once");
  const restarted = new CidrAllocator("10.0.0.0/23", 24, []);
  restarted.occupy("10.0.0.0/24");
  restarted.occupy("192.168.0.0/24");
  assert.equal(restarted.allocate(), "10.0.1.0/24");
});

test("impossible sizes are refused", () => {
  assert.throws(() => new CidrAllocator("10.0.0.0/24", 16, []));
  assert.throws(() => new CidrAllocator("fd00::/32", 64, []));
});

test("subnets never overlap", () => {
  fc.assert(
    fc.property(fc.integer({ min: 20, max: 24 }), fc.integer({ min: 24, max: 26 }), (prefix, mask) => {
      const allocator = new CidrAllocator(`10.0.0.0/${prefix}`, mask, []);
      const all = [];
      for (let next = allocator.allocate(); next !== undefined; next = allocator.allocate()) all.push(parseCidr(next));
      assert.equal(all.length, 2 ** (mask - prefix));
      for (let i = 1; i < all.length; i++) assert.ok(!overlaps(all[i - 1]!, all[i]!));
    }),
  );
});
