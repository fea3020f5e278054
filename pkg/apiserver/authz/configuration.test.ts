import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseAuthorizationConfiguration } from "./index.ts";

const parse = (...authorizers: object[]) =>
  parseAuthorizationConfiguration({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "AuthorizationConfiguration",
    authorizers,
  });
const webhook = {
  timeout: "3s",
  authorizedTTL: "1m",
  unauthorizedTTL: "5s",
  subjectAccessReviewVersion: "v1",
  matchConditionSubjectAccessReviewVersion: "v1",
  failurePolicy: "Deny",
  connectionInfo: { type: "KubeConfigFile", kubeConfigFile: "/kubeconfig" },
};
const hook = (more: object = {}, name = "hook") => ({ type: "Webhook", name, webhook: { ...webhook, ...more } });

describe("AuthorizationConfiguration", () => {
  test("authorizers in order, with their settings", () => {
    const [first, second] = parse(hook(), { type: "RBAC", name: "rbac" });
    assert.deepEqual(second, { type: "RBAC", name: "rbac" });
    const { conditions, ...settings } = first!.webhook!;
    assert.deepEqual(settings, {
      timeoutMs: 3000,
      version: "v1",
      allowedTtlMs: 60_000,
      refusedTtlMs: 5000,
      failurePolicy: "Deny",
      kubeConfigFile: "/kubeconfig",
    });
    assert.equal(conditions({ user: "jane" }), true);
    const inside = parse(hook({ connectionInfo: { type: "InClusterConfig" } }))[0]!.webhook!;
    assert.equal(inside.kubeConfigFile, undefined, "the cluster this server runs in");
  });

  test("conditions see the review; one that says no outweighs one that fails", () => {
    const matchConditions = [
      { expression: "has(request.resourceAttributes)" },
      { expression: "request.resourceAttributes.namespace == 'prod'" },
      { expression: "!('system:masters' in request.groups)" },
    ];
    const { conditions } = parse(hook({ matchConditions }))[0]!.webhook!;
    const resourceAttributes = { namespace: "prod", verb: "get" };
    assert.equal(conditions({ user: "jane", groups: [], resourceAttributes }), true);
    assert.equal(conditions({ user: "jane", groups: ["system:masters"], resourceAttributes }), false);
    assert.equal(conditions({ user: "jane", nonResourceAttributes: { path: "/", verb: "get" } }), false);
    const failing = parse(hook({ matchConditions: [{ expression: "request.extra['a'][0] == 'b'" }] }))[0]!.webhook!;
    assert.throws(() => failing.conditions({ user: "jane" }), /no such key/);
  });

  test("what is wrong is named", () => {
    const wrong: [object[], RegExp][] = [
      [[], /authorizers: Required value: at least one authorization mode must be defined/],
      [[{ type: "Magic", name: "x" }], /authorizers\[0\]\.type: Unsupported value: "Magic"/],
      [[{ type: "RBAC" }], /authorizers\[0\]\.name: Required value/],
      [
        [
          { type: "RBAC", name: "a" },
          { type: "RBAC", name: "b" },
        ],
        /authorizers\[1\]\.type: Duplicate value: "RBAC"/,
      ],
      [[hook(), hook()], /authorizers\[1\]\.name: Duplicate value: "hook"/],
      [[{ type: "RBAC", name: "a", webhook }], /authorizers\[0\]\.webhook: Invalid value: may only be specified/],
      [[{ type: "Webhook", name: "a" }], /authorizers\[0\]\.webhook: Required value/],
      [[hook({ timeout: "31s" })], /webhook\.timeout: Invalid value: "31s": must be > 0s and <= 30s/],
      [[hook({ timeout: "soon" })], /webhook\.timeout: Invalid value: "soon"/],
      [[hook({ failurePolicy: "Ignore" })], /webhook\.failurePolicy: Unsupported value: "Ignore"/],
      [
        [hook({ connectionInfo: { type: "InClusterConfig", kubeConfigFile: "/x" } })],
        /connectionInfo\.kubeConfigFile: Invalid value: "\/x": can only be set when type=KubeConfigFile/,
      ],
      [[hook({ connectionInfo: {} })], /webhook\.connectionInfo\.type: Required value/],
      [
        [hook({ matchConditions: [{ expression: "request." }] })],
        /matchConditions\[0\]\.expression: .*compilation failed/,
      ],
      [[hook({ matchConditions: [{ expression: "request.user" }] })], /must evaluate to bool/],
    ];
    for (const [authorizers, message] of wrong) assert.throws(() => parse(...authorizers), message);
    assert.throws(() => parseAuthorizationConfiguration({ kind: "Other" }), /must be an AuthorizationConfiguration/);
  });
});
