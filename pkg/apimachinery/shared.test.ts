import assert from "node:assert/strict";
import { test } from "node:test";
import { changed, findOnce, isShared, share, unshared } from "./shared.ts";

const spec = () => ({ containers: [{ name: "a", ports: [{ containerPort: 80 }] }], priority: 0 });

test("a shared value cannot be written to, at any depth, and a copy can", () => {
  const value = share(spec());
  assert.ok(isShared(value));
  assert.throws(() => (value.priority = 1), TypeError);
  assert.throws(() => value.containers[0]!.ports.push({ containerPort: 81 }), TypeError);
  const own = unshared(value);
  own.containers[0]!.ports[0]!.containerPort = 81;
  assert.deepEqual([value, isShared(own)], [spec(), false]);
  assert.equal(unshared(own), own);
});

test("what is found out about a shared value is found out once, about another each time", () => {
  let asked = 0;
  const ask = (value: object) => findOnce(value, "how often", () => ++asked);
  const value = share(spec());
  assert.deepEqual([ask(value), ask(value), ask(spec()), ask(spec())], [1, 1, 2, 3]);
  assert.equal(
    findOnce(value, "another question", () => "answer"),
    "answer",
  );
});

test("a change of a shared value is made once and shared, of another in place", () => {
  const value = share(spec());
  const raise = (own: ReturnType<typeof spec>) => void own.priority++;
  const raised = changed(value, "raise", raise);
  assert.deepEqual([raised.priority, value.priority, isShared(raised)], [1, 0, true]);
  assert.equal(changed(value, "raise", raise), raised);
  assert.notEqual(changed(value, "raise otherwise", raise), raised);
  const own = spec();
  assert.equal(changed(own, "raise", raise), own);
  assert.equal(own.priority, 1);
});

test("a value that is changed in ever new ways does not collect them all", () => {
  const value = share(spec());
  const shared = Array.from({ length: 1000 }, (_, n) => changed(value, `to ${n}`, (own) => (own.priority = n)));
  assert.deepEqual(
    shared.map(({ priority }) => priority),
    Array.from(shared.keys()),
  );
  assert.ok(shared.filter(isShared).length < 100);
});
