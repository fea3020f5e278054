import assert from "node:assert/strict";
import { test } from "node:test";
import { createErrors } from "../testing/strategies.ts";

const group = "admissionregistration.k8s.io/v1";
const rule = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] };
const webhook = {
  name: "deny.example.com",
  sideEffects: "None",
  admissionReviewVersions: ["v1"],
  clientConfig: { service: { namespace: "default", name: "hook", path: "/deny" } },
  rules: [rule],
};
const policy = { matchConstraints: { resourceRules: [rule] }, validations: [{ expression: "true" }] };

const refused: readonly [kind: string, draft: Record<string, unknown>, errors: string[]][] = [
  ["ValidatingWebhookConfiguration", { webhooks: [webhook] }, []],
  ["MutatingWebhookConfiguration", { webhooks: [webhook] }, []],
  [
    "ValidatingWebhookConfiguration",
    {
      webhooks: [
        { ...webhook, name: "short", sideEffects: undefined, timeoutSeconds: 31, admissionReviewVersions: [] },
      ],
    },
    [
      'webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots',
      "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
      "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
      "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
    ],
  ],
  [
    "MutatingWebhookConfiguration",
    { webhooks: [{ ...webhook, clientConfig: { url: "http://example.com/x?y=z" } }] },
    [
      "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
      'webhooks[0].clientConfig.url: Invalid value: "y=z": query parameters are not permitted in the URL',
    ],
  ],
  [
    "ValidatingWebhookConfiguration",
    { webhooks: [{ ...webhook, rules: [{ ...rule, operations: ["*", "CREATE"] }] }] },
    [
      'webhooks[0].rules[0].operations: Invalid value: ["*","CREATE"]: if \'*\' is present, must not specify other operations',
    ],
  ],
  ["ValidatingAdmissionPolicy", { spec: policy }, []],
  [
    "ValidatingAdmissionPolicy",
    { spec: {} },
    [
      "spec.matchConstraints: Required value",
      "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
      "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
    ],
  ],
  [
    "ValidatingAdmissionPolicyBinding",
    { spec: { policyName: "p", validationActions: ["Deny", "Deny", "Nag"] } },
    [
      'spec.validationActions[1]: Duplicate value: "Deny"',
      'spec.validationActions[2]: Unsupported value: "Nag": supported values: "Audit", "Deny", "Warn"',
    ],
  ],
  [
    "MutatingAdmissionPolicy",
    { spec: { matchConstraints: { resourceRules: [rule] }, mutations: [{ patchType: "JSONPatch" }] } },
    ["spec.mutations[0].jsonPatch.expression: Required value: must be specified when patchType is JSONPatch"],
  ],
];
for (const [kind, draft, errors] of refused) {
  test(`creating a ${kind} ${errors[0] ?? ""}`, () =>
    assert.deepEqual(createErrors(`${group}/${kind}`, draft), errors));
}
