import assert from "node:assert/strict";
import { test } from "node:test";
import type { StorageVersionMigration } from "#pkg/api/types/storagemigration-v1beta1.ts";
import { meta, NOW } from "../testing/objects.ts";
import { isOver, statusIn } from "./plan.ts";

const migration = (status: StorageVersionMigration["status"]): StorageVersionMigration => ({
  metadata: meta("m"),
  spec: { resource: { group: "example.com", resource: "things" } },
  ...(status === undefined ? {} : { status }),
});
const types = ({ conditions = [] }: NonNullable<StorageVersionMigration["status"]>) =>
  conditions.map(({ type, status }) => `${type}=${status}`);

test("a migration runs until it has succeeded or failed, and stays so", () => {
  assert.equal(isOver(migration(undefined)), false);
  const running = statusIn("Running", { resourceVersion: "7" }, "", NOW);
  assert.equal(isOver(migration(running)), false);
  assert.deepEqual([running.resourceVersion, types(running)], ["7", ["Running=True"]]);
  for (const end of ["Succeeded", "Failed"] as const) {
    const over = statusIn(end, running, "why", NOW + 1000);
    assert.deepEqual(types(over), ["Running=False", `${end}=True`]);
    assert.equal(over.conditions?.at(-1)?.reason, `StorageVersionMigration${end}`);
    assert.equal(isOver(migration(over)), true);
  }
});
