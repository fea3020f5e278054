/**
 * SELinux labels on machines whose kernel has it, here without enforcing them:
 * `hack/lab up --vm --nodes 0 --memory 3072 --package selinux-basics --package selinux-policy-default
 * --kernel-arg security=selinux --kernel-arg selinux=1 --kernel-arg enforcing=0`, then
 * `KUBITS_LAB=DIR hack/node --test test-e2e/vm/selinux.vm-test.ts`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";
import { BUSYBOX, pod } from "../framework/manifests.ts";

const context = useCluster("selinux");
const limit = { timeout: 600_000 };
const CONFIG = "/etc/containerd/config.toml";
const LEVEL = "s0:c123,c456";

/** The label of a process or of a file, as one of the first node's commands tells it. */
async function onNode(...command: [string, ...string[]]): Promise<string> {
  const { lab } = context.cluster;
  const [file, ...args] = command;
  return (await lab.run(lab.master, file, args)).stdout.replaceAll("\0", "").trim();
}

const current = async (name: string) =>
  (await context.cluster.exec(name, "cat", "/proc/1/attr/current")).replaceAll("\0", "").trim();

test("the runtime labels containers", limit, async () => {
  assert.match(await onNode("cat", "/sys/fs/selinux/enforce"), /^[01]$/, "the machine has no SELinux");
  assert.notEqual(await onNode("cat", "/proc/1/attr/current"), "kernel", "the machine has no policy");
  if (!(await onNode("cat", CONFIG)).includes("enable_selinux")) {
    const section = '\\[plugins."io.containerd.grpc.v1.cri"\\]';
    await onNode("sed", "-i", `s/^${section}$/&\\n  enable_selinux = true/`, CONFIG);
    await onNode("systemctl", "restart", "containerd");
    // A node reads once what its kernel can do.
    await onNode("systemctl", "restart", "kubits-node");
  }
  const { cluster } = context;
  await cluster.apply(pod("plain"));
  await eventually("a pod runs with the runtime's label", async () =>
    /^system_u:system_r:container_t:s0:c\d+,c\d+$/.test(await current("plain")) ? true : undefined,
  );
});

test("a pod's and a container's options are its process's label, and its volumes follow", limit, async () => {
  const { cluster } = context;
  await cluster.kubectl(["create", "configmap", "settings", "--from-literal=key=one"]);
  const volumeMounts = ["own", "memory", "settings", "host"].map((name) => ({ name, mountPath: `/${name}` }));
  const second = { name: "second", image: BUSYBOX, command: ["sleep", "3600"] };
  await cluster.apply(
    pod("labelled", {
      container: { volumeMounts },
      spec: {
        securityContext: { seLinuxOptions: { level: LEVEL } },
        volumes: [
          { name: "own", emptyDir: {} },
          { name: "memory", emptyDir: { medium: "Memory" } },
          { name: "settings", configMap: { name: "settings" } },
          { name: "host", hostPath: { path: `/srv/${cluster.namespace}`, type: "DirectoryOrCreate" } },
        ],
        initContainers: [
          {
            ...second,
            restartPolicy: "Always",
            securityContext: { seLinuxOptions: { type: "spc_t", level: LEVEL } },
          },
        ],
      },
    }),
  );
  await cluster.ready("pod/labelled");
  assert.equal(await current("labelled"), `system_u:system_r:container_t:${LEVEL}`);
  const other = await cluster.kubectl(["exec", "labelled", "-c", "second", "--", "cat", "/proc/1/attr/current"]);
  assert.equal(other.replaceAll("\0", "").trim(), `system_u:system_r:spc_t:${LEVEL}`);

  const uid = await cluster.jsonpath("pod/labelled", "{.metadata.uid}");
  const directory = `/var/lib/kubelet/pods/${uid}`;
  const label = (path: string) => onNode("stat", "--format=%C", path);
  const own = `system_u:object_r:container_file_t:${LEVEL}`;
  for (const path of [
    "volumes/kubernetes.io~empty-dir/own",
    "volumes/kubernetes.io~empty-dir/memory",
    "volumes/kubernetes.io~configmap/settings/..data/key",
    "etc-hosts",
  ]) {
    assert.equal(await label(`${directory}/${path}`), own, path);
  }
  assert.doesNotMatch(await label(`/srv/${cluster.namespace}`), /container_file_t/, "the machine's own stays as it is");
});
