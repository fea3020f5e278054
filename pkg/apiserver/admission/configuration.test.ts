import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseAdmissionConfiguration } from "./index.ts";

const parse = (plugins: object[], files: Record<string, unknown> = {}) =>
  parseAdmissionConfiguration(
    { apiVersion: "apiserver.config.k8s.io/v1", kind: "AdmissionConfiguration", plugins },
    (path) => files[path],
  );

describe("AdmissionConfiguration", () => {
  test("settings inline and from files", () => {
    const limits = [{ type: "Namespace", qps: 5, burst: 10 }];
    const imagePolicy = { kubeConfigFile: "/hook", allowTTL: 50, denyTTL: -1, defaultAllow: true };
    const defaults = { enforce: "baseline", "enforce-version": "v1.30", warn: "restricted" };
    const parsed = parse(
      [
        { name: "EventRateLimit", path: "limits.yaml" },
        { name: "ImagePolicyWebhook", configuration: { imagePolicy } },
        { name: "PodNodeSelector", configuration: { podNodeSelectorPluginConfig: { ns: "zone=a" } } },
        { name: "PodSecurity", configuration: { defaults, exemptions: { namespaces: ["kube-system"] } } },
      ],
      { "limits.yaml": { limits } },
    );
    assert.deepEqual(parsed.eventRateLimits, [{ type: "Namespace", qps: 5, burst: 10, cacheSize: 4096 }]);
    assert.deepEqual(parsed.imagePolicy, {
      kubeConfigFile: "/hook",
      allowTtlMs: 50_000,
      denyTtlMs: 0,
      retryBackoffMs: 500,
      defaultAllow: true,
    });
    assert.deepEqual(parsed.podNodeSelectors, new Map([["ns", "zone=a"]]));
    assert.deepEqual(parsed.podSecurity?.defaults, {
      enforce: { level: "baseline", version: 30 },
      audit: { level: "privileged", version: "latest" },
      warn: { level: "restricted", version: "latest" },
    });
    assert.deepEqual(parsed.podSecurity?.exemptions.namespaces, ["kube-system"]);
  });

  test("what is wrong is named", () => {
    const configured = (name: string, configuration: object) => () => parse([{ name, configuration }]);
    assert.throws(configured("EventRateLimit", { limits: [] }), /limits: Required value/);
    assert.throws(
      configured("EventRateLimit", { limits: [{ type: "Pod" }] }),
      /limits\[0\]\.type: Unsupported value: "Pod"/,
    );
    const limits = [{ type: "User", qps: 0, burst: 1 }];
    assert.throws(configured("EventRateLimit", { limits }), /limits\[0\]\.qps: Invalid value: 0: must be positive/);
    assert.throws(configured("ImagePolicyWebhook", {}), /imagePolicy\.kubeConfigFile: Required value/);
    const impatient = { imagePolicy: { kubeConfigFile: "/hook", retryBackoff: 400_000 } };
    assert.throws(
      configured("ImagePolicyWebhook", impatient),
      /imagePolicy\.retryBackoff: valid value is between 1ms and 5m0s, got 6m40s/,
    );
    assert.throws(configured("PodSecurity", { defaults: { warn: "lax" } }), /defaults\.warn: Invalid value: "lax"/);
    assert.throws(
      () => parseAdmissionConfiguration({ kind: "Other" }, () => ({})),
      /must be an AdmissionConfiguration/,
    );
  });
});
