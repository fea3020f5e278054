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
  });
  assert.deepEqual(config.clusterDNS, ["10.0.0.10", "fd00::a"]);
  assert.deepEqual(
    [config.anonymousAuth, config.clientCAFile, config.authorizationMode],
    [true, "/ca.crt", "AlwaysAllow"],
  );
  assert.deepEqual(config.evictionHard, { "memory.available": "200Mi" });
  assert.deepEqual(config.evictionSoftGracePeriodSeconds, { "memory.available": 90 });
  assert.deepEqual([config.maxPods, config.syncFrequencySeconds], [20, 120]);
  assert.deepEqual(config.registerWithTaints, [
    { key: "dedicated", value: "gpu", effect: "NoSchedule" },
    { key: "x", effect: "NoExecute" },
  ]);
  assert.deepEqual(warnings, [
    "the configuration file has fields without effect here: authentication.webhook, hairpinMode",
  ]);
});

test("every field names a flag that exists", () => {
  const everything = fileAsFlags({ ...header, evictionSoftGracePeriod: {}, providerID: "x" }, assert.fail);
  assert.doesNotThrow(() => parseFlags(nodeFlags, { argv: [], file: everything }));
});

test("flag names as keys stay as they are; other kinds are refused", () => {
  assert.deepEqual(fileAsFlags({ "max-pods": 5 }, assert.fail), { "max-pods": 5 });
  assert.throws(() => fileAsFlags({ apiVersion: "v1", kind: "Pod" }, assert.fail), /is a Pod of v1/);
});
