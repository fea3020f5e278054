import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { persistentVolumeClaims, persistentVolumes, runtimeClasses } from "#pkg/api/refs.ts";
import type { Container, Pod, SeccompProfile, Volume } from "#pkg/api/types/core-v1.ts";
import { IMAGES, startContainerd } from "./testing/containerd.ts";
import { busybox, hasEnded, isReady, says, startTestBed, waitingReason } from "./testing/node.ts";
import type { TestBed, TestNode } from "./testing/node.ts";
import { IMAGE_GROUP, startTestRegistry } from "./testing/registry.ts";
import type { TestRegistry } from "./testing/registry.ts";
import { cgroupsNamed } from "./testing/traces.ts";

const message = (pod: Pod) => pod.status?.containerStatuses?.[0]?.state?.waiting?.message ?? "";
const mountsOf = (pod: Pod) => pod.status?.containerStatuses?.[0]?.volumeMounts;

/** What depends on the runtime or the machine is asserted for both: what it does where it can, how it is refused where not. */
describe("what pods may ask for", { concurrency: 8 }, () => {
  let bed: TestBed;
  let node: TestNode;
  let registry: TestRegistry;
  before(async () => {
    registry = await startTestRegistry(IMAGES.busybox);
    bed = await startTestBed(startContainerd("10.215.9"), {
      name: "i1",
      config: () => ({ allowedUnsafeSysctls: ["kernel.msg*"] }),
    });
    node = bed.node;
  });
  after(async () => {
    await bed?.stop();
    await registry?.stop();
  });
  const hasEvent = (name: string, wanted: RegExp) =>
    node.eventually(`${name} has an event like ${wanted}`, async () =>
      (await node.events(name)).some((text) => wanted.test(text)),
    );
  const hostPath = (path: string, type?: string): Volume => ({ name: "host", hostPath: { path, type } });

  test("seccomp: none, the runtime's profile, one of the node's own", async () => {
    const root = join(bed.daemon.directory, "kubelet/seccomp/profiles");
    await mkdir(root, { recursive: true });
    const syscalls = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }];
    await writeFile(join(root, "no-mkdir.json"), JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls }));
    const script = "grep ^Seccomp: /proc/self/status; mkdir /x && echo made";
    const under = (name: string, seccompProfile: SeccompProfile) =>
      node.outcome(name, says(script, { securityContext: { seccompProfile } }));
    const [unconfined, byRuntime, ownProfile, missing] = await Promise.all([
      under("seccomp-none", { type: "Unconfined" }),
      under("seccomp-runtime", { type: "RuntimeDefault" }),
      under("seccomp-own", { type: "Localhost", localhostProfile: "profiles/no-mkdir.json" }),
      node
        .create(
          "seccomp-missing",
          says("true", { securityContext: { seccompProfile: { type: "Localhost", localhostProfile: "none.json" } } }),
        )
        .then(() => node.wait("seccomp-missing", (pod) => waitingReason(pod) === "CreateContainerError")),
    ]);
    assert.match(unconfined.said, /^Seccomp:\s+0\nmade$/m);
    assert.match(byRuntime.said, /^Seccomp:\s+2\nmade$/m);
    assert.match(ownProfile.said, /^Seccomp:\s+2\nmkdir: .*Operation not permitted$/m);
    assert.match(missing.status?.containerStatuses?.[0]?.state?.waiting?.message ?? "", /none\.json/);
  });

  test("privileged and unprivileged differ", async () => {
    const [plain, privileged] = await Promise.all([
      node.outcome("plain", says("mkdir /m; mount -t tmpfs x /m && echo mounted")),
      node.outcome(
        "privileged",
        says("mkdir /m; mount -t tmpfs x /m && echo mounted", { securityContext: { privileged: true } }),
      ),
    ]);
    assert.doesNotMatch(plain.said, /mounted/);
    assert.match(privileged.said, /mounted/);
  });

  test("sysctls of the pod, and limits in its cgroup", async () => {
    const { said, pod } = await node.outcome(
      "limits",
      says(
        "cat /proc/sys/kernel/shm_rmid_forced; cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max",
        { resources: { limits: { memory: "64Mi", cpu: "500m" } } },
      ),
      {
        securityContext: { sysctls: [{ name: "kernel.shm_rmid_forced", value: "1" }] },
      },
    );
    assert.deepEqual(said.trim().split("\n"), ["1", String(64 * 2 ** 20)], JSON.stringify(pod.status));
  });

  test("unsafe sysctls: the node's list says which may be set", async () => {
    const sysctls = (name: string) => ({ securityContext: { sysctls: [{ name, value: "8193" }] } });
    const [allowed, refused] = await Promise.all([
      node.outcome("sysctl-allowed", says("cat /proc/sys/kernel/msgmax"), sysctls("kernel.msgmax")),
      node.outcome("sysctl-refused", says("true"), sysctls("kernel.shmmax")),
    ]);
    assert.equal(allowed.said, "8193\n");
    assert.deepEqual(
      [refused.pod.status?.reason, refused.pod.status?.message],
      ["SysctlForbidden", 'Pod was rejected: forbidden sysctl: "kernel.shmmax" not allowlisted'],
    );
  });

  test("groups: those of the image are merged, or kept out where the runtime can", async () => {
    const securityContext = { runAsUser: 65_534, runAsGroup: 65_534, supplementalGroups: [4000] };
    const container = () => says("id -G", { image: `${registry.host}/team/grouped:1` });
    const merged = await node.outcome("groups-merged", container(), {
      securityContext: { ...securityContext, supplementalGroupsPolicy: "Merge" },
    });
    assert.equal(merged.said, `65534 4000 ${IMAGE_GROUP}\n`);
    const strict = await node.outcome("groups-strict", container(), {
      securityContext: { ...securityContext, supplementalGroupsPolicy: "Strict" },
    });
    if ((await node.object())?.status?.features?.supplementalGroupsPolicy === true) {
      assert.equal(strict.said, "65534 4000\n");
      const { user } = strict.pod.status?.containerStatuses?.[0] ?? {};
      assert.deepEqual(user?.linux, { uid: 65_534, gid: 65_534, supplementalGroups: [4000, 65_534] });
      return;
    }
    const { phase, reason, message: why } = strict.pod.status ?? {};
    assert.deepEqual(
      [phase, reason, why],
      [
        "Failed",
        "SupplementalGroupsPolicyNotSupported",
        "Pod was rejected: SupplementalGroupsPolicy=Strict is not supported in this node",
      ],
    );
    await hasEvent("groups-strict", /^SupplementalGroupsPolicyNotSupported: SupplementalGroupsPolicy=Strict is not/);
  });

  test("/proc is masked, except for the privileged; all of it is only for pods with users of their own", async () => {
    const script = "grep -c ' /proc/' /proc/self/mountinfo; true";
    const [masked, privileged] = await Promise.all([
      node.outcome("proc-default", says(script, { securityContext: { procMount: "Default" } })),
      node.outcome("proc-privileged", says(script, { securityContext: { privileged: true } })),
    ]);
    assert.ok(Number(masked.said) >= 5, masked.said);
    assert.equal(privileged.said, "0\n");
    const unmasked = says(script, { securityContext: { procMount: "Unmasked" } });
    await assert.rejects(
      node.create("proc-unmasked", unmasked),
      /procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`/,
    );
    await node.create("proc-unmasked", unmasked, { hostUsers: false });
    await hasEvent(
      "proc-unmasked",
      /^FailedCreatePodSandBox: .*can't set `spec.hostUsers: false`, runtime does not support user namespaces/,
    );
    await node.delete("proc-unmasked", { gracePeriodSeconds: 0 });
  });

  test("AppArmor and SELinux: a profile that nothing enforces is refused, labels are for who knows them", async () => {
    const labels = await node.outcome("selinux", says("true"), {
      securityContext: { seLinuxOptions: { level: "s0:c123,c456" } },
    });
    assert.equal(labels.pod.status?.phase, "Succeeded");
    if (existsSync("/sys/module/apparmor/parameters/enabled")) return;
    const appArmorProfile = { type: "Localhost", localhostProfile: "none" };
    const { pod } = await node.outcome("apparmor", says("true", { securityContext: { appArmorProfile } }));
    assert.deepEqual(
      [pod.status?.reason, pod.status?.message],
      ["AppArmor", "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"],
    );
  });

  test("fsGroup takes a volume over, or leaves it alone when its root is as it should be", async () => {
    const path = join(bed.daemon.directory, "owned");
    await mkdir(path);
    await writeFile(join(path, "file"), "", { mode: 0o600 });
    execFileSync("chown", ["0:4004", path]);
    execFileSync("chmod", ["2770", path]);
    const size = { storage: "1Mi" };
    await bed.client.create(persistentVolumes, {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: "owned" },
      spec: { capacity: size, accessModes: ["ReadWriteOnce"], local: { path }, nodeAffinity: onNode("i1") },
    });
    const claim = await bed.client.create(persistentVolumeClaims, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "owned", namespace: "default" },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: size }, volumeName: "owned" },
    });
    await bed.client.updateStatus(persistentVolumeClaims, { ...claim, status: { phase: "Bound" } });
    const container = says("stat -c '%g %a' /data /data/file", {
      volumeMounts: [{ name: "data", mountPath: "/data" }],
    });
    const under = (name: string, fsGroupChangePolicy: string) =>
      node.outcome(name, container, {
        securityContext: { fsGroup: 4004, fsGroupChangePolicy },
        volumes: [{ name: "data", persistentVolumeClaim: { claimName: "owned" } }],
      });
    assert.equal((await under("fsgroup-mismatch", "OnRootMismatch")).said, "4004 2770\n0 600\n");
    assert.equal((await under("fsgroup-always", "Always")).said, "4004 2770\n4004 660\n");
  });

  test("host paths of each type; what is of another type is refused, and had once it is right", async () => {
    const path = join(bed.daemon.directory, "host");
    const at = (name: string) => join(path, name);
    await mkdir(path);
    const listening = createServer().listen(at("socket"));
    execFileSync("mknod", [at("block"), "b", "7", "250"]);
    await writeFile(at("file"), "");
    const types = {
      "": "file",
      Directory: ".",
      DirectoryOrCreate: "new/directory",
      File: "file",
      FileOrCreate: "new-file",
      Socket: "socket",
      BlockDevice: "block",
      CharDevice: "/dev/null",
    };
    const volumes = Object.entries(types).map(([type, name], index) => ({
      name: `v${index}`,
      hostPath: { path: name.startsWith("/") ? name : at(name), type },
    }));
    const container = says("for i in 0 1 2 3 4 5 6 7; do stat -c %F /v/$i; done", {
      volumeMounts: volumes.map(({ name }, index) => ({ name, mountPath: `/v/${index}` })),
    });
    const { said } = await node.outcome("host-paths", container, { volumes });
    assert.deepEqual(said.trim().split("\n"), [
      "regular empty file",
      "directory",
      "directory",
      "regular empty file",
      "regular empty file",
      "socket",
      "block special file",
      "character special file",
    ]);
    assert.equal((await stat(at("new/directory"))).mode & 0o777, 0o755);
    assert.equal((await stat(at("new-file"))).mode & 0o777, 0o644);
    listening.close();
    const wrong = says("true", { volumeMounts: [{ name: "host", mountPath: "/host" }] });
    await node.create("wrong-type", wrong, { restartPolicy: "Never", volumes: [hostPath(at("later"), "Directory")] });
    await hasEvent(
      "wrong-type",
      /^FailedMount: MountVolume\.SetUp failed for volume "host" : hostPath type check failed: .*\/later is not a directory$/,
    );
    await mkdir(at("later"));
    assert.equal((await node.wait("wrong-type", hasEnded)).status?.phase, "Succeeded");
  });

  test("mounts reach from the host into a container, from a container out, or neither, as propagation says", async () => {
    const path = join(bed.daemon.directory, "propagating");
    await mkdir(join(path, "inner"), { recursive: true });
    execFileSync("mount", ["--bind", path, path]);
    execFileSync("mount", ["--make-shared", path]);
    const volumes = [hostPath(path)];
    const mount = (mountPath: string, mountPropagation?: string) => ({ name: "host", mountPath, mountPropagation });
    await assert.rejects(
      node.create("unprivileged", says("true", { volumeMounts: [mount("/m", "Bidirectional")] }), { volumes }),
      /Bidirectional mount propagation is available only to privileged containers/,
    );
    const watcher = busybox("exec sleep 1000", {
      volumeMounts: [mount("/none", "None"), mount("/in", "HostToContainer")],
    });
    await node.create("propagation-in", watcher, { volumes });
    const seen = await node.wait("propagation-in", isReady);
    const mounter = says("mount -t tmpfs inner /out/inner", {
      volumeMounts: [mount("/out", "Bidirectional")],
      securityContext: { privileged: true },
    });
    assert.equal((await node.outcome("propagation-out", mounter, { volumes })).pod.status?.phase, "Succeeded");
    assert.ok(readFileSync("/proc/self/mountinfo", "utf8").includes(` ${path}/inner `), "the host has it");
    const [container] = await bed.daemon.runtime.listContainers({ podUid: seen.metadata.uid });
    const { stdout } = await bed.daemon.runtime.execSync(container!.id, ["cat", "/proc/self/mountinfo"], 10);
    const inside = Buffer.from(stdout).toString();
    assert.ok(inside.includes(" /in/inner "), "who listens has it");
    assert.ok(!inside.includes(" /none/inner "), "who does not has not");
    await node.delete("propagation-in");
  });

  test("read-only mounts: all below them as well, where the runtime can", async () => {
    const path = join(bed.daemon.directory, "recursive");
    await mkdir(join(path, "inner"), { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "inner", join(path, "inner")]);
    const mounting = (recursiveReadOnly: string) =>
      says("touch /host/inner/x && echo written", {
        volumeMounts: [
          { name: "host", mountPath: "/host", readOnly: true, mountPropagation: "None", recursiveReadOnly },
        ],
      });
    const spec = { volumes: [hostPath(path)] };
    const handlers = (await node.object())?.status?.runtimeHandlers ?? [];
    const can = handlers.some(({ name, features }) => name === "" && features?.recursiveReadOnlyMounts === true);
    const [disabled, ifPossible] = await Promise.all([
      node.outcome("rro-disabled", mounting("Disabled"), spec),
      node.outcome("rro-possible", mounting("IfPossible"), spec),
    ]);
    const shown = (recursiveReadOnly: string) => [
      { name: "host", mountPath: "/host", readOnly: true, recursiveReadOnly },
    ];
    assert.equal(disabled.said, "written\n");
    assert.deepEqual(mountsOf(disabled.pod), shown("Disabled"));
    assert.match(ifPossible.said, can ? /Read-only file system/ : /^written$/m);
    assert.deepEqual(mountsOf(ifPossible.pod), shown(can ? "Enabled" : "Disabled"));
    await node.create("rro-enabled", mounting("Enabled"), { ...spec, restartPolicy: "Never" });
    if (can) {
      const enabled = await node.wait("rro-enabled", hasEnded);
      assert.match(enabled.status?.containerStatuses?.[0]?.state?.terminated?.message ?? "", /Read-only file system/);
      return;
    }
    const refused = await node.wait("rro-enabled", (pod) => waitingReason(pod) === "CreateContainerConfigError");
    assert.match(message(refused), /volume "host" requested recursive read-only mode, but it is not supported/);
    await node.delete("rro-enabled", { gracePeriodSeconds: 0 });
  });

  test("runtime classes: a handler that the runtime has, with overhead, and one that it has not", async () => {
    const runtimeClass = (name: string, handler: string) =>
      bed.client.create(runtimeClasses, {
        apiVersion: "node.k8s.io/v1",
        kind: "RuntimeClass",
        metadata: { name },
        handler,
      });
    await runtimeClass("plain", "runc");
    await runtimeClass("odd", "no-such-handler");
    const limits = { resources: { limits: { memory: "32Mi" } } };
    const pod = await node.create("with-class", busybox("exec sleep 1000", limits), {
      runtimeClassName: "plain",
      overhead: { memory: "16Mi" },
    });
    await node.wait("with-class", isReady);
    const files = cgroupsNamed(bed.daemon.cgroupRoot, `pod${pod.metadata.uid}`)
      .flatMap((directory) => ["memory.limit_in_bytes", "memory.max"].map((file) => join(directory, file)))
      .filter((file) => existsSync(file));
    assert.deepEqual(
      files.map((file) => Number(readFileSync(file, "utf8"))),
      [48 * 2 ** 20],
    );
    await node.create("odd", busybox("exec sleep 1000"), { runtimeClassName: "odd" });
    await hasEvent(
      "odd",
      /^FailedCreatePodSandBox: Failed to create pod sandbox: rpc error: code = \w+ desc = .*no runtime for "no-such-handler" is configured/,
    );
    assert.equal((await node.wait("odd", () => true)).status?.phase, "Pending");
    for (const name of ["with-class", "odd"]) await node.delete(name, { gracePeriodSeconds: 0 });
  });

  test("an image as a volume, where the runtime can mount one", async () => {
    const container = says("cat /image/etc/group; touch /image/x", {
      volumeMounts: [{ name: "image", mountPath: "/image" }],
    });
    const reference = `${registry.host}/team/volume:1`;
    const spec = { restartPolicy: "Never", volumes: [{ name: "image", image: { reference, pullPolicy: "Always" } }] };
    await node.create("image-volume", container, spec);
    const version = (await node.object())?.status?.nodeInfo?.containerRuntimeVersion ?? "";
    if (/^containerd:\/\/(1\.|2\.0)/.test(version)) {
      await node.wait("image-volume", (pod) => waitingReason(pod) === "CreateContainerError");
      await node.delete("image-volume", { gracePeriodSeconds: 0 });
      return;
    }
    const pod = await node.wait("image-volume", hasEnded);
    const said = pod.status?.containerStatuses?.[0]?.state?.terminated?.message ?? "";
    assert.match(said, new RegExp(`^image:x:${IMAGE_GROUP}:nobody$`, "m"));
    assert.match(said, /Read-only file system/);
  });

  test("a full name as host name", async () => {
    const { said } = await node.outcome("fqdn", says("hostname"), {
      hostname: "alpha",
      subdomain: "beta",
      setHostnameAsFQDN: true,
    });
    assert.equal(said, "alpha.beta.default.svc.cluster.local\n");
  });

  test("gRPC probes ask the health service", async () => {
    // The pod has the host's network: what answers its probes is here.
    const address = (await node.object())?.status?.addresses?.find(({ type }) => type === "InternalIP")?.address ?? "";
    assert.ok(Object.values(networkInterfaces()).some((all) => all?.some((own) => own.address === address)));
    const health = { serving: false };
    const server = new grpc.Server();
    const asIs = (value: Buffer) => value;
    const check = {
      path: "/grpc.health.v1.Health/Check",
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    };
    server.addService(
      { Check: check },
      {
        Check: ({ request }: { request: Buffer }, answer: grpc.sendUnaryData<Buffer>) =>
          answer(null, Buffer.from([8, health.serving && request.includes("db") ? 1 : 2])),
      },
    );
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync(`${address}:0`, grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    try {
      const readinessProbe = { grpc: { port, service: "db" }, periodSeconds: 1 };
      await node.create("grpc", busybox("exec sleep 1000", { readinessProbe }), { hostNetwork: true });
      await hasEvent("grpc", /^Unhealthy: Readiness probe failed: service unhealthy \(responded with "NOT_SERVING"\)$/);
      health.serving = true;
      assert.equal((await node.wait("grpc", isReady)).status?.containerStatuses?.[0]?.restartCount, 0);
      await node.delete("grpc");
    } finally {
      server.forceShutdown();
    }
  });

  test("a probe's own grace period counts for what it kills", async () => {
    // Deaf to SIGTERM; the pod would give it an hour.
    const container = busybox("trap '' TERM; while :; do sleep 1 & wait; done", {
      livenessProbe: {
        exec: { command: ["false"] },
        periodSeconds: 1,
        failureThreshold: 1,
        terminationGracePeriodSeconds: 1,
      },
    });
    await node.create("probe-grace", container, { terminationGracePeriodSeconds: 3600 });
    const pod = await node.wait(
      "probe-grace",
      ({ status }) => status?.containerStatuses?.[0]?.lastState?.terminated !== undefined,
    );
    assert.equal(pod.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 137);
    await node.delete("probe-grace", { gracePeriodSeconds: 0 });
  });

  test("rules of a container restart it, or all of its pod in place, whatever the policy", async () => {
    const volumes = [{ name: "data", emptyDir: {} }];
    const volumeMounts = [{ name: "data", mountPath: "/data" }];
    const once = (code: number) => `[ -e /data/once ] || { touch /data/once; exit ${code}; }`;
    const ruled = (name: string, action: string, script: string): Container =>
      busybox(script, {
        name,
        volumeMounts,
        restartPolicy: "Never",
        restartPolicyRules: [{ action, exitCodes: { operator: "In", values: [42] } }],
      });
    const { pod } = await node.outcome("rule-restart", ruled("c", "Restart", once(42)), { volumes });
    assert.deepEqual([pod.status?.phase, pod.status?.containerStatuses?.[0]?.restartCount], ["Succeeded", 1]);
    // The others end by SIGKILL, without their hook and long before their grace is over.
    const lifecycle = { preStop: { exec: { command: ["touch", "/data/stopped"] } } };
    const steady = busybox("trap '' TERM; while :; do sleep 1 & wait; done", {
      name: "steady",
      volumeMounts,
      lifecycle,
    });
    const init = busybox("echo init >> /data/inits", { name: "init", volumeMounts });
    await node.create("restart-all", ruled("asking", "RestartAllContainers", `${once(42)}; exec sleep 1000`), {
      volumes,
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 3600,
      initContainers: [init],
      containers: [ruled("asking", "RestartAllContainers", `sleep 1; ${once(42)}; exec sleep 1000`), steady],
    });
    const restarted = await node.wait("restart-all", (found) => {
      const { containerStatuses = [] } = found.status ?? {};
      return isReady(found) && containerStatuses.every(({ restartCount }) => restartCount === 1);
    });
    const { initContainerStatuses, containerStatuses, conditions } = restarted.status ?? {};
    assert.equal(initContainerStatuses?.[0]?.restartCount, 1);
    assert.deepEqual(
      containerStatuses?.map(({ name, lastState }) => [name, lastState?.terminated?.exitCode]),
      [
        ["asking", 42],
        ["steady", 137],
      ],
    );
    assert.equal(conditions?.find(({ type }) => type === "AllContainersRestarting")?.status, "False");
    const { runtime } = bed.daemon;
    const sandboxes = await runtime.listSandboxes({ podUid: restarted.metadata.uid });
    assert.equal(sandboxes.length, 1, "the sandbox stays");
    const running = (await runtime.listContainers({ podUid: restarted.metadata.uid })).find(
      ({ state, metadata }) => state === "Running" && metadata.name === "steady",
    );
    const { stdout } = await runtime.execSync(running!.id, ["sh", "-c", "cat /data/inits; ls /data"], 10);
    assert.equal(Buffer.from(stdout).toString(), "init\ninit\ninits\nonce\n");
    await node.delete("restart-all", { gracePeriodSeconds: 0 });
  });
});

function onNode(name: string) {
  const matchExpressions = [{ key: "kubernetes.io/hostname", operator: "In", values: [name] }];
  return { required: { nodeSelectorTerms: [{ matchExpressions }] } };
}
