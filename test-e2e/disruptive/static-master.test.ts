import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BUSYBOX } from "../framework/manifests.ts";
import { eventually, useCluster } from "../framework/lab.ts";

const context = useCluster("static-master");
const LIMIT_MS = 120_000;

/** Runs a command of the machine's own, with the machine's files and network. */
function staticPod(command: readonly string[]): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "kubits-master", namespace: "kube-system", labels: { component: "kubits-master" } },
    spec: {
      hostNetwork: true,
      priorityClassName: "system-node-critical",
      volumes: [{ name: "host", hostPath: { path: "/" } }],
      containers: [
        {
          name: "kubits-master",
          image: BUSYBOX,
          command: ["chroot", "/host", ...command],
          securityContext: { privileged: true },
          volumeMounts: [{ name: "host", mountPath: "/host" }],
        },
      ],
    },
  };
}

test("kubits-master runs as a static pod that kubectl shows", { timeout: 400_000 }, async () => {
  const { cluster } = context;
  const lab = cluster.programs;
  const { daemons, name } = lab.master;
  const manifests = join(lab.dir, "manifests");
  mkdirSync(manifests);
  const restartNode = async (flags: readonly string[] = []) => {
    await daemons.stop("kubits-node");
    lab.startNode(lab.master, flags);
  };
  const answers = async () => {
    const url = `${lab.server}/readyz`;
    const { exitCode } = await lab.run(lab.master, "curl", ["-sk", "--max-time", "5", url], { allowFailure: true });
    return exitCode === 0;
  };
  const inKubeSystem = (...args: string[]) => cluster.kubectl(["-n", "kube-system", ...args]);

  const pid = daemons.pid("kubits-master");
  assert.ok(pid !== undefined);
  const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  try {
    await restartNode([`--pod-manifest-path=${manifests}`]);
    await daemons.stop("kubits-master");
    // Half of a manifest is none.
    writeFileSync(join(lab.dir, "kubits-master.json"), JSON.stringify(staticPod(command)));
    renameSync(join(lab.dir, "kubits-master.json"), join(manifests, "kubits-master.json"));

    const shown = await eventually(
      "kubectl shows the master's pod as ready",
      async () => {
        const text = await inKubeSystem("get", "pods", "-l", "component=kubits-master", "--no-headers");
        return / 1\/1 +Running /u.test(text) ? text : undefined;
      },
      LIMIT_MS,
    );
    assert.match(shown, new RegExp(`^kubits-master-${name} `, "u"));
    assert.equal(daemons.pid("kubits-master"), undefined, "nothing but the pod is the master");
    const sum = await inKubeSystem("create", "configmap", "of-static-master", "--from-literal=a=b", "-o", "name");
    assert.equal(sum.trim(), "configmap/of-static-master");
    await inKubeSystem("delete", "configmap", "of-static-master");
  } finally {
    rmSync(manifests, { recursive: true });
    await eventually("the pod is gone", async () => ((await answers()) ? undefined : true), LIMIT_MS);
    await lab.startMaster();
    await restartNode();
  }
  await inKubeSystem("wait", "--for=delete", `pod/kubits-master-${name}`, "--timeout=120s");
  await cluster.kubectl(["wait", "--for=condition=Ready", `node/${name}`, "--timeout=120s"]);
});
