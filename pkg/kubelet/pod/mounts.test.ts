import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { MountedVolume } from "../volumes/volume.ts";
import { type MountsInput, containerMounts } from "./mounts.ts";

let podDirectory = "";
before(async () => {
  podDirectory = await mkdtemp(join(tmpdir(), "kubits-mounts-"));
});
after(() => rm(podDirectory, { recursive: true }));

/** Paths in the container of the mounts that take its label. */
async function relabelled(selinux: boolean): Promise<string[]> {
  const volumeMounts = [
    { name: "own", mountPath: "/own" },
    { name: "own", mountPath: "/again" },
    { name: "host", mountPath: "/host" },
  ];
  const container = { name: "c", image: "x", volumeMounts };
  const volume = (hostPath: string, relabel: boolean): MountedVolume => ({
    kind: "path",
    hostPath,
    readOnly: false,
    relabel,
  });
  const input: Partial<MountsInput> = {
    pod: { metadata: { name: "p" }, spec: { containers: [container] } } as unknown as Pod,
    container,
    volumes: new Map([
      ["own", volume("/a", true)],
      ["host", volume("/b", false)],
    ]),
    images: new Map(),
    env: new Map(),
    podDirectory,
    hosts: "127.0.0.1 localhost\n",
    recursiveReadOnlySupported: false,
    selinux,
  };
  const mounts = await containerMounts(input as MountsInput);
  return mounts.filter(({ selinuxRelabel }) => selinuxRelabel === true).map(({ containerPath }) => containerPath);
}

test("under SELinux what is the pod's takes its label, each volume once; what is the machine's keeps its own", async () => {
  assert.deepEqual(await relabelled(true), ["/own", "/etc/hosts", "/dev/termination-log"]);
  assert.deepEqual(await relabelled(false), []);
});
