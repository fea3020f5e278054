import assert from "node:assert/strict";
import { test } from "node:test";
import { containerConfig, sandboxConfig } from "../pod/configs.ts";
import { container, pod } from "../testing/observed.ts";
import { pluginInput } from "./cni.ts";
import { fromLabels, logPathOf, metadataOf, sandboxIdOf, toContainer, toSandbox } from "./convert.ts";

const c = container("c", {
  securityContext: { runAsUser: 5, runAsGroup: 6, allowPrivilegeEscalation: false },
  command: ["a"],
  args: ["b"],
});
const subject = pod({ containers: [c], hostPID: true }, {}, { labels: { app: "x" } });
const common = { seccompRoot: "/s", seccompDefault: false };
const sandbox = sandboxConfig({
  pod: subject,
  attempt: 2,
  hostname: "h",
  dns: { servers: [], searches: [], options: [] },
  podLogsDir: "/logs",
  cgroupParent: "/kubepods",
  ...common,
});

test("a sandbox keeps its labels, annotations and metadata apart", () => {
  const { Labels = {}, name, HostConfig, Hostname } = toSandbox({ ...sandbox, annotations: { note: "n" } }, "pause", 0);
  assert.equal(name, "k8s_POD_p_ns_u_2");
  assert.deepEqual(
    [Hostname, HostConfig?.NetworkMode, HostConfig?.PidMode, HostConfig?.OomScoreAdj],
    ["h", "none", "host", 0],
  );
  const { labels, annotations } = fromLabels(Labels);
  assert.deepEqual([labels["app"], labels["io.kubernetes.pod.uid"], annotations], ["x", "u", { note: "n" }]);
  assert.deepEqual(metadataOf(Labels), { name: "p", namespace: "ns", uid: "u", attempt: 2 });
});

test("a container joins its sandbox", () => {
  const config = containerConfig({
    pod: subject,
    container: c,
    restartCount: 1,
    image: { image: "i" },
    imageUser: { username: "" },
    env: new Map([["A", "1"]]),
    mounts: [
      { hostPath: "/pods/u/v", containerPath: "/v", readonly: true, selinuxRelabel: true },
      { hostPath: "/odd:path", containerPath: "/h", readonly: false, propagation: "HostToContainer" },
    ],
    resources: { memoryLimitInBytes: 5 },
    ...common,
  });
  const options = toContainer(config, "sid", sandbox, 0, undefined);
  assert.deepEqual([options.User, options.Entrypoint, options.Cmd, options.Env], ["5:6", ["a"], ["b"], ["A=1"]]);
  const host = options.HostConfig;
  assert.deepEqual(
    [host?.NetworkMode, host?.IpcMode, host?.PidMode, host?.CgroupParent, host?.Memory],
    ["container:sid", "container:sid", "host", "/kubepods", 5],
  );
  assert.deepEqual(host?.SecurityOpt, ["seccomp=unconfined", "no-new-privileges"]);
  assert.deepEqual(host?.Binds, ["/pods/u/v:/v:ro,Z,rprivate"], "relabelled for SELinux");
  const BindOptions = { Propagation: "rslave" };
  assert.deepEqual(host?.Mounts, [{ Type: "bind", Source: "/odd:path", Target: "/h", ReadOnly: false, BindOptions }]);
  assert.deepEqual(
    [sandboxIdOf(options.Labels ?? {}), logPathOf(options.Labels ?? {})],
    ["sid", "/logs/ns_p_u/c/1.log"],
  );
});

test("CNI plugins get the list's names, the previous result, and what they can use", () => {
  const network = { cniVersion: "0.4.0", name: "net", plugins: [] };
  const ports = [{ protocol: "TCP" as const, containerPort: 80, hostPort: 8080, hostIp: "" }];
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  assert.deepEqual(pluginInput(network, portmap, { ips: [] }, ports), {
    type: "portmap",
    cniVersion: "0.4.0",
    name: "net",
    prevResult: { ips: [] },
    runtimeConfig: { portMappings: [{ protocol: "tcp", containerPort: 80, hostPort: 8080 }] },
  });
  assert.deepEqual(pluginInput(network, { type: "bridge" }, undefined, ports), {
    type: "bridge",
    cniVersion: "0.4.0",
    name: "net",
  });
});
