import assert from "node:assert/strict";
import { test } from "node:test";
import type { ValidatingAdmissionPolicy } from "#pkg/api/types/admissionregistration-v1.ts";
import { pathNotFound } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { customKinds } from "./custom-kinds.ts";
import { typeCheck } from "./type-check.ts";

const DOCUMENTS: Readonly<Record<string, unknown>> = {
  "/apis/example.com/v1": {
    resources: [
      { name: "widgets", kind: "Widget" },
      { name: "widgets/status", kind: "Widget" },
    ],
  },
  "/openapi/v3/apis/example.com/v1": {
    components: {
      schemas: {
        "com.example.v1.Widget": {
          type: "object",
          "x-kubernetes-group-version-kind": [{ group: "example.com", version: "v1", kind: "Widget" }],
          properties: { spec: { type: "object", properties: { size: { type: "integer" } } } },
        },
      },
    },
  },
};
const asked: string[] = [];
const client = {
  raw(_method: string, path: string) {
    asked.push(path);
    const document = DOCUMENTS[path];
    return document === undefined ? Promise.reject(pathNotFound()) : Promise.resolve(document);
  },
} as unknown as Client;

test("policies are checked against custom kinds as the server describes them", async () => {
  const policy = {
    metadata: { name: "p" },
    spec: {
      paramKind: { apiVersion: "example.com/v1", kind: "Widget" },
      matchConstraints: {
        resourceRules: [
          { apiGroups: ["example.com", "gone.example.com"], apiVersions: ["v1"], resources: ["widgets"] },
          { apiGroups: ["apps"], apiVersions: ["v1"], resources: ["deployments"] },
          { apiGroups: ["*"], apiVersions: ["v1"], resources: ["others"] },
        ],
      },
      validations: [
        { expression: "object.spec.size > 1 && object.metadata.name != ''" },
        { expression: "object.spec.nope == 1" },
        { expression: "params.spec.size > 'a'" },
      ],
    },
  } as unknown as ValidatingAdmissionPolicy;
  const kinds = await customKinds(client, policy, new AbortController().signal);
  assert.deepEqual(asked, ["/apis/example.com/v1", "/openapi/v3/apis/example.com/v1", "/apis/gone.example.com/v1"]);
  const warnings = typeCheck(policy, kinds).map(({ fieldRef, warning }) => [fieldRef, warning.match(/^.*Kind=\w+/gm)]);
  const both = ["apps/v1, Kind=Deployment", "example.com/v1, Kind=Widget"];
  assert.deepEqual(warnings, [
    ["spec.validations[0].expression", both.slice(0, 1)],
    ["spec.validations[1].expression", both],
    ["spec.validations[2].expression", both],
  ]);
});
