import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlags } from "#pkg/config/index.ts";
import { nodeFlags } from "./flags.ts";
import { kubeletConfig } from "./kubelet-config.ts";
import { fileAsFlags } from "./kubelet-configuration.ts";

const header = { apiVersion: "kubelet.config.k8s.io/v1beta1", kind: "KubeletConfiguration" };
function configOf(file: Record<string, unknown>) {
  const warnings: string[] = [];
  const translated = fileAsFlags(file, (text) => warnings.push(text));
  return { config: kubeletConfig(parseFlags(nodeFlags, { argv: [], file: translated }).values, "10.0.0.1"), warnings };
}

test("a kubelet's configuration file reaches the kubelet", () => {
  const { config, warnings } = configOf({
    ...header,
    authentication: { anonymous: { enabled: true }, x509: { clientCAFile: "/ca.crt" }, webhook: { enabled: true } },
    authorization: { mode: "AlwaysAllow" },
    clusterDNS: ["10.0.0.10", "fd00::a"],
    evictionHard: { "memory.available": "200Mi" },
    evictionSoft: { "memory.available": "300Mi" },
    evictionSoftGracePeriod: { "memory.available": "1m30s" },
    maxPods: 20,
    syncFrequency: "2m0s",
    registerWithTaints: [
      { key: "dedicated", value: "gpu", effect: "NoSchedule" },
      { key: "x", effect: "NoExecute" },
    ],
    hairpinMode: "hairpin-veth",
    crashLoopBackOff: { maxContainerRestartPeriod: "20s" },
  });
  assert.deepEqual(config.clusterDNS, ["10.0.0.10", "fd00::a"]);
  assert.deepEqual(
    [config.anonymousAuth, config.clientCAFile, config.authorizationMode],
    [true, "/ca.crt", "AlwaysAllow"],
  );
  assert.deepEqual(config.evictionHard, { "memory.available": "200Mi" });
  assert.deepEqual(config.evictionSoftGracePeriodSeconds, { "memory.available": 90 });
  assert.deepEqual([config.maxPods, config.syncFrequencySeconds, config.crashLoopMaxSeconds], [20, 120, 20]);
  assert.deepEqual(config.registerWithTaints, [
    { key: "dedicated", value: "gpu", effect: "NoSchedule" },
    { key: "x", effect: "NoExecute" },
  ]);
  assert.deepEqual(warnings, ["the configuration file has fields without effect here: hairpinMode"]);
});

test("what kubeadm writes is kept to without complaint: zero stands for the default", () => {
  const { config, warnings } = configOf({
    ...header,
    authentication: {
      anonymous: { enabled: false },
      webhook: { cacheTTL: "0s", enabled: true },
      x509: { clientCAFile: "/etc/kubernetes/pki/ca.crt" },
    },
    authorization: { mode: "Webhook", webhook: { cacheAuthorizedTTL: "0s", cacheUnauthorizedTTL: "0s" } },
    cgroupDriver: "systemd",
    containerRuntimeEndpoint: "",
    cpuManagerReconcilePeriod: "0s",
    crashLoopBackOff: {},
    evictionPressureTransitionPeriod: "0s",
    fileCheckFrequency: "0s",
    healthzBindAddress: "127.0.0.1",
    healthzPort: 0,
    imageMinimumGCAge: "0s",
    logging: { flushFrequency: 0, options: { json: { infoBufferSize: "0" } }, verbosity: 0 },
    memorySwap: {},
    nodeStatusUpdateFrequency: "0s",
    rotateCertificates: true,
    shutdownGracePeriod: "0s",
    staticPodPath: "/etc/kubernetes/manifests",
    syncFrequency: "0s",
    volumeStatsAggPeriod: "0s",
  });
  assert.deepEqual(warnings, []);
  const { syncFrequencySeconds, fileCheckFrequencySeconds, evictionPressureTransitionSeconds } = config;
  assert.deepEqual([syncFrequencySeconds, fileCheckFrequencySeconds, evictionPressureTransitionSeconds], [60, 20, 300]);
  assert.deepEqual([config.nodeStatusUpdateFrequencySeconds, config.imageMinimumGCAgeSeconds], [10, 120]);
  assert.deepEqual([config.cgroupDriver, config.healthzPort], ["systemd", 0]);
  assert.match(config.containerRuntimeEndpoint ?? "", /^unix:/);
});

test("every field names a flag that exists", () => {
  const everything = fileAsFlags(
    { ...header, evictionSoftGracePeriod: { "memory.available": "1s" }, providerID: "x" },
    assert.fail,
  );
  assert.doesNotThrow(() => parseFlags(nodeFlags, { argv: [], file: everything }));
});

test("flag names as keys stay as they are; other kinds are refused", () => {
  assert.deepEqual(fileAsFlags({ "max-pods": 5 }, assert.fail), { "max-pods": 5 });
  assert.throws(() => fileAsFlags({ apiVersion: "v1", kind: "Pod" }, assert.fail), /is a Pod of v1/);
});
