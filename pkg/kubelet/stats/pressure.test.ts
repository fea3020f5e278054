import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import { CgroupManager } from "../cgroups/manager.ts";
import { parsePressure, pressuresOf } from "./pressure.ts";

const CPU =
  "some avg10=0.03 avg60=1.77 avg300=0.92 total=3489207\nfull avg10=0.02 avg60=1.62 avg300=0.84 total=3193253\n";

test("pressure as the kernel writes it; as a whole a machine may have no line of full", () => {
  const some = { total: 3489207, avg10: 0.03, avg60: 1.77, avg300: 0.92 };
  assert.deepEqual(parsePressure(CPU), { some, full: { total: 3193253, avg10: 0.02, avg60: 1.62, avg300: 0.84 } });
  const none = { total: 0, avg10: 0, avg60: 0, avg300: 0 };
  assert.deepEqual(parsePressure(CPU.split("\n")[0]), { some, full: none });
  assert.deepEqual([parsePressure(undefined), parsePressure("")], [undefined, undefined]);
});

test("a container's pressure is found by its id, where the kernel counts", async () => {
  const root = await mkdtemp(join(tmpdir(), "pressure-"));
  const manager = (version: 1 | 2) =>
    new CgroupManager({
      hierarchies: { version, mounts: new Map([[version === 2 ? "" : "memory", root]]) },
      driver: "systemd",
      cgroupRoot: "",
      perQos: true,
      podPidsLimit: -1,
      commands: new SpawnRunner(),
      log: silentLogger,
    });
  const scope = join(root, "pod.slice/cri-containerd-abc.scope");
  await mkdir(scope, { recursive: true });
  assert.equal(await manager(2).below("/pod.slice", "abd"), undefined);
  const path = (await manager(2).below("/pod.slice", "abc"))!;
  assert.equal(path, "/pod.slice/cri-containerd-abc.scope");
  assert.equal(await pressuresOf(manager(2), path), undefined, "a kernel that does not count");
  for (const name of ["cpu", "memory", "io"]) await writeFile(join(scope, `${name}.pressure`), CPU);
  assert.equal((await pressuresOf(manager(2), path))?.io.some.total, 3489207);
  assert.equal(await pressuresOf(manager(1), path), undefined);
  await rm(root, { recursive: true });
});
