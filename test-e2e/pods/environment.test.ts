import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster, within } from "../framework/lab.ts";
import { BUSYBOX, pod } from "../framework/manifests.ts";

const context = useCluster("environment");
const limit = within(150_000);

/** What a pod that runs the script once has printed. */
async function output(
  name: string,
  script: string,
  options: { container?: object; spec?: object } = {},
): Promise<string> {
  const { cluster } = context;
  const spec = { restartPolicy: "Never", ...options.spec };
  await cluster.apply(pod(name, { command: ["sh", "-c", script], container: options.container ?? {}, spec }));
  await eventually(
    `${name} has ended`,
    async () =>
      ["Succeeded", "Failed"].includes(await cluster.jsonpath(`pod/${name}`, "{.status.phase}")) ? true : undefined,
    40_000,
  );
  return cluster.kubectl(["logs", name]);
}

test("$(X) is expanded in env, command and args, $$ escapes it", limit, async () => {
  const { cluster } = context;
  const env = [
    { name: "A", value: "one" },
    { name: "B", value: "$(A)-two" },
    { name: "C", value: "$$(A)" },
    { name: "D", value: "$(UNKNOWN)" },
    { name: "LATE", value: "$(Z)" },
    { name: "Z", value: "z" },
    { name: "dotted.name-1", value: "x" },
  ];
  const args = [
    "-c",
    'printf "%s\\n" "$B" "$C" "$D" "$LATE" "$0" "$1"; tr "\\0" "\\n" </proc/1/environ | grep dotted',
    "$(B)",
    "$$(B)",
  ];
  await cluster.apply(pod("expanded", { command: ["sh"], container: { env, args }, spec: { restartPolicy: "Never" } }));
  await cluster.kubectl(["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/expanded", "--timeout=40s"]);
  const lines = ["one-two", "$(A)", "$(UNKNOWN)", "$(Z)", "one-two", "$(B)", "dotted.name-1=x"];
  assert.equal(await cluster.kubectl(["logs", "expanded"]), `${lines.join("\n")}\n`);
});

test("a variable comes from a file that an init container has written", limit, async () => {
  const volumes = [{ name: "files", emptyDir: {} }];
  const volumeMounts = [{ name: "files", mountPath: "/files" }];
  const command = ["sh", "-c", `printf "A='from a file'\\n" >/files/env; ln -s /etc/hostname /files/link`];
  const fromFile = (path: string, optional: boolean) => ({
    valueFrom: { fileKeyRef: { volumeName: "files", path, key: "A", optional } },
  });
  const spec = { volumes, initContainers: [{ name: "writer", image: BUSYBOX, command, volumeMounts }] };
  const env = [
    { name: "SET", ...fromFile("env", false) },
    { name: "UNSET", ...fromFile("absent", true) },
  ];
  assert.equal(await output("env-file", 'echo "$SET $UNSET."', { container: { env }, spec }), "from a file .\n");
  const { cluster } = context;
  const hostile = { env: [{ name: "SET", ...fromFile("link", false) }] };
  await cluster.apply(pod("env-link", { container: hostile, spec }));
  await eventually("a link out of the volume is refused", async () => {
    const waiting = await cluster.jsonpath("pod/env-link", "{.status.containerStatuses[0].state.waiting.reason}");
    return waiting === "CreateContainerConfigError" ? true : undefined;
  });
});

test("the downward API names the pod, its addresses and the node's capacity as the default limit", limit, async () => {
  const { cluster } = context;
  const ref = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const resource = (name: string, key: string) => ({ name, valueFrom: { resourceFieldRef: { resource: key } } });
  const env = [
    ref("NAME", "metadata.name"),
    ref("NS", "metadata.namespace"),
    ref("UID_", "metadata.uid"),
    ref("LABEL", "metadata.labels['app']"),
    ref("IPS", "status.podIPs"),
    ref("HOST", "status.hostIP"),
    ref("SA", "spec.serviceAccountName"),
    resource("CPU", "limits.cpu"),
    resource("MEM", "limits.memory"),
  ];
  const text = await output("downward", 'echo "$NAME $NS $UID_ $LABEL $IPS $HOST $SA $CPU $MEM"', {
    container: { env },
  });
  const { metadata, status, spec } = await cluster.get<{
    metadata: { uid: string };
    spec: { nodeName: string };
    status: { hostIP: string; podIPs: Array<{ ip: string }> };
  }>("pod", "downward");
  const node = await cluster.get<{ status: { allocatable: { cpu: string; memory: string } } }>("node", spec.nodeName);
  const words = text.trim().split(" ");
  const ips = status.podIPs.map(({ ip }) => ip).join(",");
  const { cpu, memory } = node.status.allocatable;
  const bytes = memory.endsWith("Ki") ? String(Number.parseInt(memory, 10) * 1024) : memory;
  const expected = ["downward", cluster.namespace, metadata.uid, "downward", ips, status.hostIP, "default", cpu, bytes];
  assert.deepEqual(words, expected);
});

test("the security context reaches the process", limit, async () => {
  const script =
    "id -u; id -g; id -G; stat -c %g /data; touch /x 2>&1; touch /data/y && stat -c %u:%g /data/y; " +
    "grep -E 'NoNewPrivs|CapEff' /proc/self/status | tr '\\t' ' '";
  const text = await output("secured", script, {
    container: {
      securityContext: {
        runAsUser: 1001,
        runAsGroup: 1002,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
      },
      volumeMounts: [{ name: "data", mountPath: "/data" }],
    },
    spec: {
      securityContext: { fsGroup: 2000, supplementalGroups: [3000] },
      volumes: [{ name: "data", emptyDir: {} }],
    },
  });
  assert.deepEqual(text.trim().split("\n"), [
    "1001",
    "1002",
    "1002 2000 3000",
    "2000",
    "touch: /x: Read-only file system",
    "1001:2000",
    "CapEff: 0000000000000000",
    "NoNewPrivs: 1",
  ]);
});

test("capabilities are added by name; runAsNonRoot refuses root", limit, async () => {
  const { cluster } = context;
  const securityContext = { capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] } };
  const text = await output("capable", "grep CapEff /proc/self/status", { container: { securityContext } });
  assert.match(text, /0000000000001000$/m);
  await cluster.apply(pod("root", { container: { securityContext: { runAsNonRoot: true } } }));
  const message = await eventually("the refusal", async () => {
    const path = "{.status.containerStatuses[0].state.waiting['reason','message']}";
    const shown = await cluster.jsonpath("pod/root", path);
    return shown.startsWith("CreateContainerConfigError") ? shown : undefined;
  });
  assert.match(message, /container has runAsNonRoot and image will run as root/);
});

test("sysctls are set in the pod, bad names are refused by the API", limit, async () => {
  const { cluster } = context;
  const sysctls = (name: string, value: string) => ({ spec: { securityContext: { sysctls: [{ name, value }] } } });
  const text = await output(
    "sysctl",
    "cat /proc/sys/net/ipv4/ping_group_range",
    sysctls("net.ipv4.ping_group_range", "0 200"),
  );
  assert.match(text, /^0\s+200$/m);
  const { stderr } = await cluster.try(["create", "-f", "-"], {
    stdin: JSON.stringify(pod("bad", sysctls("foo-", "bar"))),
  });
  assert.match(stderr, /spec\.securityContext\.sysctls\[0\]\.name: Invalid value: "foo-"/);
});

test("the hosts file is managed, with aliases, and left alone on the host network", limit, async () => {
  const { cluster } = context;
  const text = await output("hosts", "cat /etc/hosts; hostname; hostname -f", {
    spec: { hostname: "first", subdomain: "group", hostAliases: [{ ip: "10.9.8.7", hostnames: ["foo", "bar"] }] },
  });
  const ip = await cluster.jsonpath("pod/hosts", "{.status.podIP}");
  const fqdn = `first.group.${cluster.namespace}.svc.cluster.local`;
  assert.match(text, /^# Kubernetes-managed hosts file\.\n127\.0\.0\.1\tlocalhost\n/);
  assert.ok(text.includes(`\n${ip}\t${fqdn}\tfirst\n`), text);
  assert.ok(text.includes("\n10.9.8.7\tfoo\tbar\n"), text);
  assert.ok(text.endsWith(`\nfirst\n${fqdn}\n`), text);
  const host = await output("hosts-of-host", "head -n 1 /etc/hosts; hostname; cat /proc/net/dev | wc -l", {
    spec: { hostNetwork: true },
  });
  const { hostIP, podIP } = await cluster
    .get<{ status: { hostIP: string; podIP: string } }>("pod", "hosts-of-host")
    .then(({ status }) => status);
  assert.equal(podIP, hostIP);
  assert.notEqual(host.split("\n")[1], "hosts-of-host");
});
