import assert from "node:assert/strict";
import { it } from "node:test";
import { FakeClock } from "#pkg/util/index.ts";
import { storeContract } from "../contract-suite.ts";
import { openMemoryStore } from "./memory-store.ts";

const clock = new FakeClock();

storeContract("memory", {
  async open(t) {
    const store = openMemoryStore({ clock });
    t.after(() => store.close());
    return store;
  },
  pass: (ms) => clock.advance(ms),
});

it("forgets compacted versions", async () => {
  const store = openMemoryStore({ clock });
  const value = Buffer.alloc(1000);
  let revision = 0;
  for (let i = 0; i < 50; i++) ({ revision } = await store.write({ key: "/a", value }));
  ({ revision } = await store.write({ key: "/b", value }));
  await store.write({ key: "/b", value: undefined });
  const before = await store.size();
  await store.compact(revision + 1);
  assert.ok((await store.size()) < before / 40);
  await store.close();
  await assert.rejects(store.write({ key: "/a", value }));
});
