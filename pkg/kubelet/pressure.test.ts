import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { IMAGES, startContainerd } from "./testing/containerd.ts";
import { busybox, hasEnded, isReady, startTestBed } from "./testing/node.ts";
import type { TestBed, TestNode } from "./testing/node.ts";
import { startTestRegistry } from "./testing/registry.ts";
import type { TestRegistry } from "./testing/registry.ts";

const MIB = 2 ** 20;
const volumes = [{ name: "data", emptyDir: {} }];
const volumeMounts = [{ name: "data", mountPath: "/data" }];
/** Ready once the script has come to its end. */
const doing = (script: string, more: Parameters<typeof busybox>[1] = {}) =>
  busybox(`${script}; touch /tmp/done; exec sleep 1000`, {
    readinessProbe: { exec: { command: ["test", "-e", "/tmp/done"] }, periodSeconds: 1 },
    ...more,
  });
const why = ({ status }: Pod) => `${status?.reason}: ${status?.message}`;
const evictedFor = (resource: string) =>
  new RegExp(`^Evicted: The node was low on resource: ${resource}\\. Threshold quantity: \\S+, available: \\S+\\. `);

// Mostly they wait: both at a time.
describe("scarcity", { concurrency: 2 }, () => {
  /** The thresholds are such that the machine has crossed them as soon as the kubelet knows of them. */
  describe("a node under pressure", { concurrency: 1 }, () => {
    let bed: TestBed;
    let node: TestNode;
    before(async () => {
      bed = await startTestBed(startContainerd("10.216.9"), { name: "p1" });
      node = bed.node;
    });
    after(() => bed?.stop());
    const pressed = (type: string) => async () => (await node.condition(type)) === "True";
    /** The node with these thresholds instead of its own. */
    const restart = async (thresholds: object) => {
      await node.stop();
      await node.start({ evictionHard: {}, evictionPressureTransitionSeconds: 1, ...thresholds });
    };

    test("ends the greediest pod of each kind, soft thresholds not before their time, and takes no others meanwhile", async () => {
      const forking = "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done";
      const filling = "for i in $(seq 200); do touch /data/$i; done";
      const asked = { resources: { requests: { memory: "64Mi" } } };
      await Promise.all([
        node.create("memory", doing("head -c 20000000 /dev/zero > /dev/shm/x")),
        node.create("modest", doing("head -c 20000000 /dev/zero > /dev/shm/x", asked)),
        node.create("processes", doing(forking, asked)),
        node.create("files", doing(filling, { volumeMounts, ...asked }), { volumes }),
        node.create("critical", doing(`${filling}; ${forking}`, { volumeMounts }), {
          volumes,
          priority: 2_000_000_000,
        }),
      ]);
      for (const name of ["memory", "modest", "processes", "files", "critical"]) await node.wait(name, isReady);

      const memory = { "memory.available": "100Ti" };
      const since = performance.now();
      await restart({
        evictionSoft: memory,
        evictionSoftGracePeriodSeconds: { "memory.available": 5 },
        evictionMaxPodGracePeriodSeconds: 1,
      });
      await node.eventually("memory pressure is told at once", pressed("MemoryPressure"));
      const early = await node.wait("memory", () => true);
      assert.ok(
        early.status?.phase === "Running" || performance.now() - since > 5000,
        "nothing ends in the grace period",
      );
      await node.create("late", busybox("exec sleep 1000"));
      assert.equal(
        why(await node.wait("late", hasEnded)),
        "Evicted: Pod was rejected: The node had condition: [MemoryPressure]. ",
      );
      const greedy = await node.wait("memory", hasEnded);
      assert.match(why(greedy), evictedFor("memory"));
      assert.match(why(greedy), /Container c was using \S+, request is 0, has larger consumption of memory\. $/);
      assert.equal(greedy.status?.containerStatuses?.[0]?.state?.terminated?.exitCode, 137);
      const disruption = greedy.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
      assert.deepEqual([disruption?.status, disruption?.reason], ["True", "TerminationByKubelet"]);
      assert.ok(
        (await node.events("memory")).some((text) => text.startsWith("Evicted: The node was low on resource: memory")),
      );

      await restart({ evictionHard: { "pid.available": "100%" } });
      assert.match(why(await node.wait("processes", hasEnded)), evictedFor("pids"));
      await node.eventually("of processes", pressed("PIDPressure"));

      await restart({ evictionHard: { "nodefs.inodesFree": "100%" } });
      assert.match(why(await node.wait("files", hasEnded)), evictedFor("inodes"));
      await node.eventually("of the disk", pressed("DiskPressure"));

      await restart({});
      for (const type of ["MemoryPressure", "PIDPressure", "DiskPressure"])
        await node.eventually(`${type} is over`, async () => (await node.condition(type)) === "False");
      assert.equal((await node.wait("critical", isReady)).status?.containerStatuses?.[0]?.restartCount, 0);
      for (const name of ["memory", "modest", "processes", "files", "critical", "late"])
        await node.delete(name, { gracePeriodSeconds: 0 });
    });
  });

  describe("a node whose images have a small disk of their own, and logs another", { concurrency: 1 }, () => {
    let bed: TestBed;
    let node: TestNode;
    let registry: TestRegistry;
    before(async () => {
      registry = await startTestRegistry(IMAGES.busybox, { layerBytes: 12 * MIB });
      bed = await startTestBed(startContainerd("10.216.8", { diskSize: "96m" }), {
        name: "p2",
        prepare({ directory }) {
          mkdirSync(join(directory, "pods"));
          execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", join(directory, "pods")]);
        },
      });
      node = bed.node;
    });
    after(async () => {
      await bed?.stop();
      await registry?.stop();
    });
    const imageAt = (name: string) => ({ image: `${registry.host}/team/${name}:1` });
    const has = async (name: string) =>
      (await bed.daemon.runtime.listImages()).some(({ repoTags }) => repoTags.includes(imageAt(name).image));
    /** What has to be written to the images' disk to leave so many percent of it free. */
    async function bytesUntil(percentFree: number): Promise<number> {
      const { blocks, bavail, bsize } = await statfs(join(bed.daemon.directory, "root"));
      return Math.floor((bavail - (blocks * percentFree) / 100) * bsize);
    }

    test("pulls as many images at a time as it may", async () => {
      for (const [atOnce, config] of [
        [2, { serializeImagePulls: false, maxParallelImagePulls: 2 }],
        [3, { serializeImagePulls: false }],
        [1, {}],
      ] as const) {
        await node.stop();
        await node.start(config);
        registry.asked.clear();
        let open = () => {};
        registry.gate = new Promise((resolve) => (open = resolve));
        const names = ["a", "b", "c"].map((name) => `${name}${atOnce}`);
        for (const name of names) await node.create(name, busybox("exec sleep 1000", imageAt(name)));
        for (const name of names)
          await node.eventually(`${name} is to be pulled`, async () =>
            (await node.events(name)).some((text) => text.startsWith("Pulling: ")),
          );
        await node.eventually("the first are asked for", async () => registry.asked.size >= atOnce);
        assert.equal(registry.asked.size, atOnce);
        await node.create("here", busybox("exec sleep 1000"));
        await node.wait("here", isReady);
        await node.delete("here", { gracePeriodSeconds: 0 });
        if (atOnce === 1) await leaveQueue(names);
        registry.gate = undefined;
        open();
        for (const name of names) await node.wait(name, isReady);
        for (const name of names) await node.delete(name, { gracePeriodSeconds: 0 });
      }
    });

    /** Deletes one of those whose image waits for another's, and takes it off the list: it goes before its turn. */
    async function leaveQueue(names: string[]): Promise<void> {
      const waiting = names.filter((name) => !registry.asked.has(`team/${name}`)).at(-1);
      assert.ok(waiting !== undefined, [...registry.asked].join(" "));
      names.splice(names.indexOf(waiting), 1);
      await node.delete(waiting);
    }

    test("removes images that nothing uses once their disk is fuller than it should be", async () => {
      await node.create("user", busybox("exec sleep 1000"));
      await node.wait("user", isReady);
      assert.ok(await has("a1"));
      await node.eventually("of those who pulled them nothing is left", async () => {
        const containers = await bed.daemon.runtime.listContainers();
        return containers.length === 1;
      });
      await node.stop();
      const filler = join(bed.daemon.directory, "root/filler");
      await writeFile(filler, Buffer.alloc(await bytesUntil(12), 1)); // 85 percent may be taken
      await node.start({ imageMinimumGCAgeSeconds: 0, evictionHard: {} });
      await node.eventually("they are gone", async () => !(await has("a1")) && !(await has("b2")));
      const left = (await bed.daemon.runtime.listImages()).flatMap(({ repoTags }) => repoTags);
      assert.deepEqual(left.sort(), [IMAGES.busybox, IMAGES.pause], "what runs, and what everything runs in");
      await rm(filler);
      assert.equal((await node.wait("user", isReady)).status?.containerStatuses?.[0]?.restartCount, 0);
      await node.delete("user", { gracePeriodSeconds: 0 });
    });

    test("ends the pod whose layer fills the disk, and takes others again once there is room", async () => {
      await node.stop();
      await node.start({ evictionHard: { "imagefs.available": "30%" }, evictionPressureTransitionSeconds: 1 });
      // The runtime needs some of it too, to remove anything.
      const script = `head -c ${(await bytesUntil(15)) - 13 * MIB} /dev/zero > /big; exec sleep 1000`;
      await node.create("hog", busybox(script, imageAt("hog")));
      assert.match(why(await node.wait("hog", hasEnded)), evictedFor("ephemeral-storage"));
      await node.eventually("disk pressure is over", async () => (await node.condition("DiskPressure")) === "False");
      await node.create("after", busybox("exec sleep 1000", imageAt("after")));
      await node.wait("after", isReady);
      for (const name of ["hog", "after"]) await node.delete(name, { gracePeriodSeconds: 0 });
    });

    test("a disk without a byte left: the node says so, takes no pods, and goes on once there is room", async () => {
      await node.stop();
      await node.start({ evictionHard: { "imagefs.available": "10%" }, evictionPressureTransitionSeconds: 1 });
      await node.create("victim", busybox("exec sleep 1000", imageAt("victim")));
      await node.wait("victim", isReady);
      const filler = join(bed.daemon.directory, "root/filler");
      await assert.rejects(writeFile(filler, Buffer.alloc(96 * MIB, 1)), { code: "ENOSPC" });
      await node.eventually("of the disk", async () => (await node.condition("DiskPressure")) === "True");
      await node.create("late", busybox("exec sleep 1000"));
      const late = await node.wait("late", hasEnded);
      assert.equal(why(late), "Evicted: Pod was rejected: The node had condition: [DiskPressure]. ");
      await node.eventually("what is done about it is told", async () => {
        const told = new Set((await node.events("p2")).map((text) => text.replace(/^Node\S*: /, "")));
        return (
          told.has("EvictionThresholdMet: Attempting to reclaim ephemeral-storage") &&
          told.has("Node p2 status is now: NodeHasDiskPressure")
        );
      });
      assert.equal((await node.get("/healthz")).status, 200);
      assert.equal(await node.condition("Ready"), "True");
      await rm(filler);
      assert.match(why(await node.wait("victim", hasEnded)), evictedFor("ephemeral-storage"));
      await node.eventually("disk pressure is over", async () => (await node.condition("DiskPressure")) === "False");
      await node.create("after", busybox("exec sleep 1000", imageAt("after")));
      await node.wait("after", isReady);
      for (const name of ["victim", "late", "after"]) await node.delete(name, { gracePeriodSeconds: 0 });
    });

    test("logs that find no room stop nobody", async () => {
      // The images' disk is not the subject: what those before have left on it has to go first.
      await node.stop();
      await node.start({ evictionHard: {} });
      await node.eventually("of those before nothing is left", async () => {
        const containers = await bed.daemon.runtime.listContainers();
        return containers.length === 0;
      });
      for (const name of ["hog", "after"]) await bed.daemon.runtime.removeImage(imageAt(name));
      await node.eventually("there is room for two images", async () => (await bytesUntil(60)) > 0);
      const script = "head -c 3000000 /dev/zero | tr '\\0' x | fold -w 1000";
      await node.create("chatty", doing(script, imageAt("chatty")));
      await node.wait("chatty", isReady);
      await node.create("quiet", busybox("exec sleep 1000", imageAt("quiet")));
      await node.wait("quiet", isReady);
      const { status, body } = await node.get("/containerLogs/default/chatty/c");
      assert.deepEqual([status, /^(x{1000}\n){500}/.test(body)], [200, true], "what found room is there");
      assert.equal(await node.condition("Ready"), "True");
      for (const name of ["chatty", "quiet"]) await node.delete(name, { gracePeriodSeconds: 0 });
    });
  });
});
