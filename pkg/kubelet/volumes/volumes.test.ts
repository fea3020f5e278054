import assert from "node:assert/strict";
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  stat,
  statfs,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Volume } from "#pkg/api/types/core-v1.ts";
import { FakeClock, SeededRandom, SpawnRunner } from "#pkg/util/index.ts";
import { HostMounts } from "../mounts.ts";
import { container, pod } from "../testing/observed.ts";
import { checkPayloadPath, writeAtomically } from "./atomic-writer.ts";
import { inMemory, onDisk } from "./file-calls.ts";
import { VolumeManager } from "./manager.ts";
import { bindSubPath } from "./subpath.ts";
import { VolumesError } from "./volume.ts";
import type { VolumeContext } from "./volume.ts";

let root: string;
const commands = new SpawnRunner();
const mounts = new HostMounts(commands);
const options = { clock: new FakeClock(), random: new SeededRandom(1) };
const bytes = (text: string) => new TextEncoder().encode(text);
before(async () => {
  root = await mkdtemp(join(tmpdir(), "kubelet-volumes-"));
});
after(async () => {
  for (const point of await mounts.below(root)) await mounts.unmount(point);
  await rm(root, { recursive: true });
});

for (const [where, calls] of Object.entries({ onDisk, inMemory })) {
  const writing = { ...options, calls };
  test(`atomic writer, ${where}: links through ..data, swaps as a whole, drops what is gone`, async () => {
    const directory = join(root, `atomic ${where}`);
    await mkdir(directory);
    const first = new Map([
      ["a", { data: bytes("1"), mode: 0o644 }],
      ["deep/b", { data: bytes("2"), mode: 0o400 }],
    ]);
    assert.equal(await writeAtomically(directory, first, writing), true);
    assert.equal(await readlink(join(directory, "a")), "..data/a");
    assert.equal(await readFile(join(directory, "deep/b"), "utf8"), "2");
    assert.equal((await stat(join(directory, "deep/b"))).mode & 0o777, 0o400);
    assert.equal(await writeAtomically(directory, first, writing), false, "the same content is not written again");
    const before = await readlink(join(directory, "..data"));
    assert.equal(await writeAtomically(directory, new Map([["a", { data: bytes("3"), mode: 0o644 }]]), writing), true);
    assert.notEqual(await readlink(join(directory, "..data")), before);
    assert.deepEqual(
      (await readdir(directory)).filter((name) => !name.startsWith("..")),
      ["a"],
    );
    assert.equal((await readdir(directory)).length, 3, "the old directory is removed");
  });

  test(`atomic writer, ${where}: fsGroup owns the files and may read them`, async () => {
    const directory = join(root, `group ${where}`);
    await mkdir(directory, { mode: 0o755 });
    await writeAtomically(directory, new Map([["k", { data: bytes("v"), mode: 0o400 }]]), {
      ...writing,
      fsGroup: 1234,
    });
    const seen = async (path: string) => {
      const { gid, mode } = await stat(path);
      return [gid, mode & 0o7777];
    };
    assert.deepEqual(await seen(join(directory, "k")), [1234, 0o440]);
    assert.deepEqual(await seen(directory), [1234, 0o2755]);
    assert.deepEqual(await seen(await realpath(join(directory, "..data"))), [1234, 0o2755]);
  });
}

for (const path of ["", "/etc/passwd", "../x", "..", "a/../../x"]) {
  test(`atomic writer: refuses ${JSON.stringify(path)}`, () => assert.throws(() => checkPayloadPath(path)));
}

test("subPath: binds a directory, makes a missing one, binds a single file", async () => {
  const volume = join(root, "sub");
  await mkdir(join(volume, "present"), { recursive: true });
  await writeFile(join(volume, "present", "file"), "content");
  const target = (name: string) => join(root, "targets", name);
  await bindSubPath(mounts, volume, "present", target("0"));
  assert.deepEqual(await readdir(target("0")), ["file"]);
  await bindSubPath(mounts, volume, "made/for/you", target("1"));
  assert.equal((await stat(join(volume, "made/for/you"))).isDirectory(), true);
  await bindSubPath(mounts, volume, "present/file", target("2"));
  assert.equal(await readFile(target("2"), "utf8"), "content");
  assert.equal(await bindSubPath(mounts, volume, "present/file", target("2")), target("2"), "idempotent");
  await rm(join(volume, "present", "file"));
  await writeFile(join(volume, "present", "file"), "replaced");
  assert.equal(await readFile(target("2"), "utf8"), "content", "what is bound stays");
  await bindSubPath(mounts, volume, "present/file", target("2"));
  assert.equal(await readFile(target("2"), "utf8"), "replaced");
  await rm(join(volume, "present", "file"));
  await mkdir(join(volume, "present", "file"));
  await bindSubPath(mounts, volume, "present/file", target("2"));
  assert.deepEqual(await readdir(target("2")), []);
});

test("subPath: a symbolic link cannot lead out of the volume", async () => {
  const volume = join(root, "evil");
  await mkdir(volume);
  await symlink("/etc", join(volume, "link"));
  await symlink("inside", join(volume, "fine"));
  await mkdir(join(volume, "inside"));
  await assert.rejects(bindSubPath(mounts, volume, "link", join(root, "targets", "evil")), /not within volume/);
  await assert.rejects(
    bindSubPath(mounts, volume, "link/new", join(root, "targets", "evil")),
    /not within|symbolic link|ENOTDIR/,
  );
  await assert.rejects(bindSubPath(mounts, volume, "../x", join(root, "targets", "evil")), /must not contain/);
  await bindSubPath(mounts, volume, "fine", join(root, "targets", "fine"));
  await assert.rejects(lstat(join("/etc", "new")));
});

async function volumeMounts(): Promise<string[]> {
  return [...(await mounts.below(join(root, "pods"))), ...(await mounts.below(join(root, "memory-volumes")))];
}

function contextFor(volumes: Volume[], spec: object = {}): VolumeContext {
  const mounted = container("c", { volumeMounts: volumes.map(({ name }) => ({ name, mountPath: `/${name}` })) });
  const subject = pod({ containers: [mounted], volumes, ...spec }, {}, { labels: { a: "b" } });
  return {
    pod: subject,
    ...options,
    mounts,
    commands,
    objects: {
      configMap: async (_namespace, name) =>
        name === "cm"
          ? {
              metadata: { name, uid: "", resourceVersion: "1", creationTimestamp: "" },
              data: { k: "v", other: "o" },
              binaryData: { raw: "AAE=" },
            }
          : undefined,
      secret: async (_namespace, name) =>
        name === "s"
          ? { metadata: { name, uid: "", resourceVersion: "1", creationTimestamp: "" }, data: { password: "c2VjcmV0" } }
          : undefined,
    },
    downward: { pod: subject, podIPs: [], hostIPs: [], nodeAllocatable: { memory: "1Gi", cpu: "2" } },
    requestToken: async () => ({ token: "token", renewAt: options.clock.now() + 2_880_000 }),
    trustBundle: async () => undefined,
    claim: async () => assert.fail("no claims here"),
  };
}

test("volumes: every kind is set up, is idempotent, and goes without a trace", async () => {
  const manager = new VolumeManager({ rootDirectory: root, mounts });
  const volumes: Volume[] = [
    { name: "disk", emptyDir: {} },
    { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "8Mi" } },
    { name: "config", configMap: { name: "cm", items: [{ key: "k", path: "dir/renamed", mode: 0o600 }] } },
    { name: "secret", secret: { secretName: "s" } },
    { name: "missing", configMap: { name: "nope", optional: true } },
    { name: "down", downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
    {
      name: "all",
      projected: {
        sources: [{ configMap: { name: "cm" } }, { secret: { name: "s" } }, { serviceAccountToken: { path: "token" } }],
      },
    },
    { name: "host", hostPath: { path: "/tmp", type: "Directory" } },
  ];
  const context = contextFor(volumes);
  for (let round = 0; round < 2; round++) {
    const { volumes: ready, recheckAt } = await manager.setUp(context);
    const path = (name: string) => {
      const volume = ready.get(name);
      assert.ok(volume?.kind === "path");
      return volume.hostPath;
    };
    for (const name of ["disk", "config"]) assert.equal((await stat(path(name))).mode & 0o7777, 0o777);
    assert.equal(await mounts.isMountPoint(path("memory")), true);
    assert.equal(await readFile(join(path("config"), "dir/renamed"), "utf8"), "v");
    assert.equal(await readFile(join(path("secret"), "password"), "utf8"), "secret");
    for (const name of ["secret", "down", "all"]) {
      assert.equal((await statfs(path(name))).type, 0x01021994, "secrets and annotations never reach the disk");
      assert.equal((await stat(path(name))).mode & 0o7777, 0o1777);
    }
    const link = join(manager.podDirectory("u"), "volumes/kubernetes.io~secret/secret");
    assert.equal(await realpath(link), path("secret"), "the pod's directory leads there");
    assert.deepEqual(
      (await readdir(path("missing"))).filter((name) => !name.startsWith("..")),
      [],
    );
    assert.equal(await readFile(join(path("down"), "labels"), "utf8"), 'a="b"');
    assert.deepEqual((await readdir(path("all"))).filter((name) => !name.startsWith("..")).sort(), [
      "k",
      "other",
      "password",
      "raw",
      "token",
    ]);
    assert.equal(recheckAt, options.clock.now() + 2_880_000);
  }
  await manager.tearDown("u");
  await manager.tearDown("u");
  assert.deepEqual(await manager.podsOnDisk(), []);
  assert.deepEqual(await volumeMounts(), [join(root, "memory-volumes")], "one mount serves all pods");
});

test("volumes: other users of the machine cannot reach the pods' files", async () => {
  const pods = join(root, "pods");
  await mkdir(pods, { recursive: true });
  await chmod(pods, 0o755);
  await new VolumeManager({ rootDirectory: root, mounts }).keepOthersOut();
  assert.equal((await stat(pods)).mode & 0o777, 0o750);
});

test("volumes: what is in memory survives a kubelet, is made anew after a reboot, and leaves older mounts alone", async () => {
  const secret = [{ name: "v", secret: { secretName: "s" } }];
  const pathOf = async (manager: VolumeManager) => {
    const volume = (await manager.setUp(contextFor(secret))).volumes.get("v");
    assert.ok(volume?.kind === "path");
    assert.equal(await readFile(join(volume.hostPath, "password"), "utf8"), "secret");
    return volume.hostPath;
  };
  const start = () => new VolumeManager({ rootDirectory: root, mounts });
  const first = await pathOf(start());
  assert.equal(await pathOf(start()), first);
  await mounts.unmount(join(root, "memory-volumes"));
  assert.equal(await pathOf(start()), first);
  assert.equal((await statfs(first)).type, 0x01021994);
  const link = join(start().podDirectory("u"), "volumes/kubernetes.io~secret/v");
  await rm(link);
  await mkdir(link);
  assert.equal(await pathOf(start()), first, "a directory left half made is replaced");
  await rm(link);
  await mkdir(join(link, "of-an-earlier-release"), { recursive: true });
  assert.equal(await pathOf(start()), link, "containers that run go on to see it");
  await rm(link, { recursive: true });
  await mkdir(link);
  await mounts.mountTmpfs(link, {});
  assert.equal(await pathOf(start()), link);
  await start().tearDown("u");
  assert.deepEqual(await start().podsOnDisk(), []);
  assert.deepEqual(await volumeMounts(), [join(root, "memory-volumes")]);
});

test("volumes: a missing source and a wrong host path are named", async () => {
  const manager = new VolumeManager({ rootDirectory: root, mounts });
  await assert.rejects(
    manager.setUp(contextFor([{ name: "v", configMap: { name: "nope" } }])),
    /MountVolume.SetUp failed for volume "v" : configmap "nope" not found/,
  );
  await assert.rejects(
    manager.setUp(contextFor([{ name: "v", hostPath: { path: "/etc/hostname", type: "Directory" } }])),
    /hostPath type check failed: \/etc\/hostname is not a directory/,
  );
  await assert.rejects(
    manager.setUp(contextFor([{ name: "v", iscsi: {} as never }])),
    /volume type iscsi is not supported/,
  );
  await assert.rejects(
    manager.setUp(contextFor([{ name: "v", hostPath: { path: "/nonexistent", type: "Socket" } }])),
    /hostPath type check failed: \/nonexistent is not a socket file/,
  );
  await assert.rejects(
    manager.setUp(contextFor([{ name: "v", configMap: { name: "cm", items: [{ key: "no", path: "p" }] } }])),
    /: configmap references non-existent config key: no$/,
  );
  const both = [{ configMap: { name: "nope" } }, { secret: { name: "neither" } }, { configMap: { name: "nope" } }];
  await assert.rejects(
    manager.setUp(contextFor([{ name: "v", projected: { sources: both } }])),
    /volume "v" : \[configmap "nope" not found, secret "neither" not found\]$/,
  );
  const projected = (source: object) => contextFor([{ name: "v", projected: { sources: [source] } }]);
  await assert.rejects(
    manager.setUp(projected({ podCertificate: { signerName: "a.b/c", keyType: "ED25519" } })),
    /projected source podCertificate is not supported/,
  );
  await manager.setUp(projected({})); // what the API server leaves of it while its feature is off
  await manager.tearDown("u");
});

test("volumes: each that fails has a message of its own, and what claims stand for is named", async () => {
  const manager = new VolumeManager({ rootDirectory: root, mounts });
  const claimed = (name: string): Volume => ({ name, persistentVolumeClaim: { claimName: name } });
  const context: VolumeContext = {
    ...contextFor([{ name: "z", configMap: { name: "nope" } }, claimed("a"), claimed("b")]),
    claim: async (name) => {
      if (name === "a") throw new Error("PVC is not bound");
      return { volume: { metadata: { name: "pv" }, spec: { local: { path: "/nonexistent" } } } } as never;
    },
  };
  await assert.rejects(manager.setUp(context), (error) => {
    assert.ok(error instanceof VolumesError);
    assert.deepEqual(error.problems, [
      'MountVolume.SetUp failed for volume "z" : configmap "nope" not found',
      'MountVolume.SetUp failed for volume "pv" : path "/nonexistent" does not exist',
      "Unable to attach or mount volumes: unmounted volumes=[a b z], unattached volumes=[], failed to process volumes=[a]: error processing PVC ns/a: PVC is not bound",
    ]);
    assert.equal(error.processed, false);
    return true;
  });
  await manager.tearDown("u");
});

test("volumes: fsGroup takes an emptyDir over", async () => {
  const manager = new VolumeManager({ rootDirectory: root, mounts });
  const { volumes } = await manager.setUp(
    contextFor([{ name: "v", emptyDir: {} }], { securityContext: { fsGroup: 4321 } }),
  );
  const volume = volumes.get("v");
  assert.ok(volume?.kind === "path");
  const info = await stat(volume.hostPath);
  assert.deepEqual([info.gid, info.mode & 0o7777], [4321, 0o2777]);
  await chmod(volume.hostPath, 0o777);
  await manager.tearDown("u");
});
