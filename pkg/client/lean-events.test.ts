import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { LeanEvents } from "./lean-events.ts";
import { parseWithoutManagedFields } from "./managed-fields.ts";

interface Event {
  readonly object: { readonly spec: object };
}
const line = (name: string, spec: unknown, more: object = {}) =>
  JSON.stringify({ type: "MODIFIED", object: { kind: "Pod", metadata: { name }, spec, ...more } });

describe("LeanEvents", () => {
  it("gives one frozen spec to all objects whose specs are the same", () => {
    const events = new LeanEvents();
    const spec = {
      containers: [{ name: "ü", image: "registry.example.com/team/server:v1.2.3", args: ["--listen=:8080"] }],
    };
    const read = (text: string) => events.parse(Buffer.from(text)) as Event;
    for (const name of ["a", "b"]) assert.deepEqual(read(line(name, spec)).object.spec, spec);
    const third = read(line("c", spec, { status: { phase: "Running" } }));
    assert.equal(third.object.spec, read(line("d", spec)).object.spec);
    assert.throws(() => Object.assign(third.object.spec, { nodeName: "n" }), TypeError);
    assert.deepEqual(third, JSON.parse(line("c", spec, { status: { phase: "Running" } })));
    assert.deepEqual(read(line("e", { ...spec, nodeName: "n" })).object.spec, { ...spec, nodeName: "n" });
  });

  it("reads every line as it would be read alone", () => {
    const text = fc.constantFrom("", "a", '"spec":{', '{"spec":{}}', "}", "ü");
    const spec = fc.oneof(fc.record({ a: text }), fc.constantFrom<unknown>({}, null, [{ spec: { a: "" } }], undefined));
    const metadata = fc.record({ name: text, spec: fc.option(spec), managedFields: fc.constant([{ manager: "m" }]) });
    const object = fc.record({ metadata, spec, template: fc.record({ spec }) });
    const lines = fc.array(fc.tuple(fc.constantFrom("ADDED", "BOOKMARK", "?"), object, fc.constantFrom("", " ")));
    fc.assert(
      fc.property(lines, (all) => {
        const events = new LeanEvents();
        for (const [type, value, behind] of all) {
          const one = JSON.stringify({ type, object: value }) + behind;
          assert.deepEqual(events.parse(Buffer.from(one)), parseWithoutManagedFields(one));
        }
      }),
      { numRuns: 500 },
    );
    assert.throws(() => new LeanEvents().parse(Buffer.from('{"type":"ADDED","object":{')), SyntaxError);
  });
});
