import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Namespace, Pod } from "#pkg/api/types/core-v1.ts";
import { MemorySource } from "../../source/index.ts";
import { attributesFor, run } from "../testing.ts";
import { PodSecurity } from "./plugin.ts";
import { describeViolations, type Level, violations } from "./policy.ts";

const tight = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  runAsNonRoot: true,
  seccompProfile: { type: "RuntimeDefault" },
};
const pod = (spec: object = {}, securityContext: object = tight, metadata: object = {}): Pod =>
  ({
    metadata: { name: "p", ...metadata },
    spec: { containers: [{ name: "c", securityContext }], ...spec },
  }) as unknown as Pod;

describe("levels", () => {
  const table: [string, Level, Pod, string][] = [
    ["a tight pod", "restricted", pod(), ""],
    ["an ordinary pod at baseline", "baseline", pod({}, {}), ""],
    [
      "an ordinary pod at restricted",
      "restricted",
      pod({}, {}),
      'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    ],
    ["privileged level", "privileged", pod({ hostNetwork: true }, { privileged: true }), ""],
    [
      "host namespaces",
      "baseline",
      pod({ hostNetwork: true, hostPID: true }),
      "host namespaces (hostNetwork=true, hostPID=true)",
    ],
    [
      "privileged",
      "baseline",
      pod({}, { privileged: true }),
      'privileged (container "c" must not set securityContext.privileged=true)',
    ],
    [
      "host path",
      "restricted",
      pod({
        volumes: [
          { name: "v", hostPath: { path: "/" } },
          { name: "e", emptyDir: {} },
        ],
      }),
      'hostPath volumes (volume "v"), restricted volume types (volume "v" uses restricted volume type "hostPath")',
    ],
    [
      "host ports",
      "baseline",
      pod({
        containers: [
          { name: "a", ports: [{ hostPort: 80 }] },
          { name: "b", ports: [{ hostPort: 443 }, {}] },
        ],
      }),
      'hostPort (containers "a", "b" use hostPorts 443, 80)',
    ],
    [
      "capabilities at baseline",
      "baseline",
      pod({}, { capabilities: { add: ["NET_ADMIN", "CHOWN"] } }),
      'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)',
    ],
    [
      "capabilities at restricted",
      "restricted",
      pod({}, { ...tight, capabilities: { drop: ["ALL"], add: ["CHOWN", "NET_BIND_SERVICE"] } }),
      'unrestricted capabilities (container "c" must not include "CHOWN" in securityContext.capabilities.add)',
    ],
    [
      "sysctls",
      "baseline",
      pod({ securityContext: { sysctls: [{ name: "kernel.msgmax" }, { name: "kernel.shm_rmid_forced" }] } }),
      "forbidden sysctl (kernel.msgmax)",
    ],
    [
      "root user",
      "restricted",
      pod({ securityContext: { runAsUser: 0 } }),
      "runAsUser=0 (pod must not set runAsUser=0)",
    ],
    [
      "explicit root",
      "restricted",
      pod({}, { ...tight, runAsNonRoot: false }),
      'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
    ],
    [
      "seccomp unconfined",
      "baseline",
      pod({}, { seccompProfile: { type: "Unconfined" } }),
      'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ],
    [
      "settings inherited from the pod",
      "restricted",
      pod(
        { securityContext: { runAsNonRoot: true, seccompProfile: { type: "Localhost" } } },
        { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
      ),
      "",
    ],
    ["a Windows pod", "restricted", pod({ os: { name: "windows" } }, { runAsNonRoot: true }), ""],
    [
      "proc mount",
      "baseline",
      pod({}, { procMount: "Unmasked" }),
      'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ],
    [
      "SELinux",
      "baseline",
      pod({}, { seLinuxOptions: { type: "spc_t", user: "u" } }),
      'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)',
    ],
    [
      "AppArmor",
      "baseline",
      pod({}, { appArmorProfile: { type: "Unconfined" } }),
      'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
    ],
    [
      "AppArmor in annotations",
      "baseline",
      {
        ...pod({ securityContext: { appArmorProfile: { type: "Unconfined" } } }),
        metadata: {
          ...pod({}).metadata,
          annotations: {
            "container.apparmor.security.beta.kubernetes.io/c": "unconfined",
            "container.apparmor.security.beta.kubernetes.io/d": "localhost/x",
          },
        },
      },
      'forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to "Unconfined", "container.apparmor.security.beta.kubernetes.io/c="unconfined"")',
    ],
    [
      "an ephemeral container counts",
      "baseline",
      pod({ ephemeralContainers: [{ name: "d", securityContext: { privileged: true } }] }),
      'privileged (container "d" must not set securityContext.privileged=true)',
    ],
  ];
  for (const [name, level, subject, expected] of table) {
    test(name, () => assert.equal(describeViolations(violations(subject, { level, version: "latest" })), expected));
  }
  test("older versions know fewer rules", () => {
    const subject = pod({ securityContext: { runAsUser: 0, sysctls: [{ name: "net.ipv4.tcp_rmem" }] } });
    assert.equal(
      describeViolations(violations(subject, { level: "restricted", version: 22 })),
      "forbidden sysctl (net.ipv4.tcp_rmem)",
    );
    assert.equal(
      describeViolations(violations(subject, { level: "restricted", version: 32 })),
      "runAsUser=0 (pod must not set runAsUser=0)",
    );
  });
});

describe("PodSecurity", () => {
  const namespaces = new MemorySource<Namespace>();
  const pods = new MemorySource<Pod>();
  const plugin = new PodSecurity(namespaces, pods);
  const label = (labels: Record<string, string>): Record<string, string> =>
    Object.fromEntries(Object.entries(labels).map(([key, value]) => [`pod-security.kubernetes.io/${key}`, value]));
  const setLabels = (labels: Record<string, string>): void =>
    namespaces.set({ metadata: { name: "ns", labels: label(labels) } } as unknown as Namespace);

  test("enforces, warns and audits", async () => {
    setLabels({ enforce: "baseline", "enforce-version": "v1.30", warn: "restricted", audit: "restricted" });
    const warned = attributesFor("pods", { object: pod({}, {}) });
    await run(plugin, warned);
    assert.match(
      warned.warnings[0]!,
      /^would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false/,
    );
    assert.match(
      warned.annotations["pod-security.kubernetes.io/audit-violations"]!,
      /^would violate PodSecurity "restricted:latest"/,
    );
    assert.equal(warned.annotations["pod-security.kubernetes.io/enforce-policy"], "baseline:v1.30");
    await assert.rejects(run(plugin, attributesFor("pods", { object: pod({ hostIPC: true }) })), {
      message: 'pods "p" is forbidden: violates PodSecurity "baseline:v1.30": host namespaces (hostIPC=true)',
    });
  });

  test("a namespace that the cache has not seen yet is looked up", async () => {
    const fresh = { metadata: { name: "fresh", labels: label({ enforce: "baseline" }) } } as unknown as Namespace;
    const lagging = new PodSecurity(new MemorySource<Namespace>(), pods, async () => fresh);
    const attributes = attributesFor("pods", { object: pod({ hostPID: true }), namespace: "fresh" });
    await assert.rejects(
      run(lagging, attributes),
      /violates PodSecurity "baseline:latest": host namespaces \(hostPID=true\)/,
    );
  });

  test("warns about templates, without refusing them", async () => {
    setLabels({ enforce: "restricted", warn: "baseline" });
    const template = { template: { spec: { hostNetwork: true, containers: [] } } };
    const deployment = attributesFor("apps/deployments", { object: { metadata: { name: "d" }, spec: template } });
    await run(plugin, deployment);
    assert.deepEqual(deployment.warnings, [
      'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
    ]);
    const cronJob = attributesFor("batch/cronjobs", {
      object: { metadata: { name: "d" }, spec: { jobTemplate: { spec: template } } },
    });
    await run(plugin, cronJob);
    assert.equal(cronJob.warnings.length, 1);
  });

  test("lets status-like pod updates through, not new images", async () => {
    setLabels({ enforce: "restricted" });
    const bad = pod({ hostNetwork: true });
    await run(
      plugin,
      attributesFor("pods", { object: { ...bad, metadata: { name: "p", labels: { a: "b" } } }, oldObject: bad }),
    );
    await assert.rejects(
      run(
        plugin,
        attributesFor("pods", {
          object: pod({ hostNetwork: true, containers: [{ name: "c", image: "new", securityContext: tight }] }),
          oldObject: bad,
        }),
      ),
      /host namespaces/,
    );
  });

  test("namespaces: labels are checked, and raising the level tells about existing pods", async () => {
    const namespace = (labels: Record<string, string>): object => ({ metadata: { name: "ns", labels: label(labels) } });
    const options = { namespace: "" };
    await assert.rejects(
      run(plugin, attributesFor("namespaces", { ...options, object: namespace({ enforce: "strict" }) })),
      /metadata.labels\[pod-security.kubernetes.io\/enforce\]: Invalid value: "strict": must be one of privileged, baseline, restricted/,
    );
    pods.set({ ...pod({ hostNetwork: true }), metadata: { name: "a", namespace: "ns" } } as unknown as Pod);
    pods.set({ ...pod({ hostNetwork: true }), metadata: { name: "b", namespace: "ns" } } as unknown as Pod);
    const raised = attributesFor("namespaces", {
      ...options,
      object: namespace({ enforce: "baseline" }),
      oldObject: namespace({}),
    });
    await run(plugin, raised);
    assert.deepEqual(raised.warnings, [
      'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"',
      "a (and 1 other pod): host namespaces",
    ]);
  });
});
