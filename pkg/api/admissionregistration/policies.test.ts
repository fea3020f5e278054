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
    "MutatingWebhookConfiguration",
    { webhooks: [{ ...webhook, failurePolicy: "", matchPolicy: "", reinvocationPolicy: "" }] },
    [
      'webhooks[0].failurePolicy: Unsupported value: "": supported values: "Fail", "Ignore"',
      'webhooks[0].matchPolicy: Unsupported value: "": supported values: "Equivalent", "Exact"',
      'webhooks[0].reinvocationPolicy: Unsupported value: "": supported values: "IfNeeded", "Never"',
    ],
  ],
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
    "ValidatingWebhookConfiguration",
    {
      webhooks: [
        {
          ...webhook,
          clientConfig: { url: "https://u:p@example.com" },
          rules: [{ ...rule, resources: ["pods/*", "pods/log", "*/scale", "a/scale"] }],
          sideEffects: "Some",
          admissionReviewVersions: ["v1", "V2", "v1"],
        },
        { ...webhook, name: "b.example.com", clientConfig: { url: "" } },
        { ...webhook, name: "c.example.com", clientConfig: { service: { name: "s", path: "a//" } } },
      ],
    },
    [
      "webhooks[0].rules[0].resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log",
      "webhooks[0].rules[0].resources[3]: Invalid value: \"a/scale\": if '*/scale' is present, must not specify a/scale",
      'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
      'webhooks[0].clientConfig.url: Invalid value: "u:p": user information is not permitted in the URL',
      "webhooks[0].admissionReviewVersions[1]: Invalid value: \"V2\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
      'webhooks[0].admissionReviewVersions[2]: Invalid value: "v1": duplicate version',
      "webhooks[1].clientConfig.url: Invalid value: \"\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
      'webhooks[1].clientConfig.url: Invalid value: "": host must be specified; desired format: https://host[/path]',
      "webhooks[2].clientConfig.service.namespace: Required value",
      "webhooks[2].clientConfig.service.path: Invalid value: \"a//\": must start with a '/'",
      'webhooks[2].clientConfig.service.path: Invalid value: "a//": segment[0] may not be empty',
      'webhooks[2].clientConfig.service.path: Invalid value: "a//": segment[1] may not be empty',
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
