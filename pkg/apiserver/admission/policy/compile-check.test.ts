import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StatusError } from "#pkg/apimachinery/index.ts";
import { attributesFor } from "../testing.ts";
import { AdmissionExpressions } from "./compile-check.ts";

describe("expressions of configurations", () => {
  const plugin = new AdmissionExpressions();
  const errors = (plural: string, object: object, oldObject?: object): string[] => {
    const attributes = attributesFor(`admissionregistration.k8s.io/${plural}`, {
      namespace: "",
      kind: "K",
      object: { metadata: { name: "x" }, ...object },
      ...(oldObject === undefined ? {} : { oldObject: { metadata: {}, ...oldObject } }),
    });
    assert.equal(plugin.handles(attributes), true);
    try {
      plugin.validate(attributes);
      return [];
    } catch (error) {
      return (error as StatusError).details!.causes!.map(({ field, message }) => `${field}: ${message}`);
    }
  };
  test("must compile, to the right type", () => {
    const webhooks = (expression: string): object => ({ webhooks: [{ matchConditions: [{ name: "c", expression }] }] });
    assert.deepEqual(errors("validatingwebhookconfigurations", webhooks("object.x == 1")), []);
    const [broken] = errors("mutatingwebhookconfigurations", webhooks("..."));
    assert.match(
      broken!,
      /^webhooks\[0\].matchConditions\[0\].expression: Invalid value: "...": compilation failed: ERROR: <input>:1:2: Syntax error/,
    );
    assert.deepEqual(errors("validatingwebhookconfigurations", webhooks("1 + 1")), [
      'webhooks[0].matchConditions[0].expression: Invalid value: "1 + 1": must evaluate to bool but got int',
    ]);
    assert.deepEqual(
      errors("validatingwebhookconfigurations", webhooks("..."), webhooks("...")),
      [],
      "what is stored stays",
    );
    const policy = {
      spec: {
        variables: [{ name: "v", expression: "1" }],
        validations: [{ expression: "variables.v == 1" }, { expression: "variables.w" }, { expression: "params.x" }],
      },
    };
    assert.deepEqual(
      errors("validatingadmissionpolicies", policy).map((line) => line.slice(0, 30)),
      ["spec.validations[1].expression", "spec.validations[2].expression"],
    );
    const mutating = (expression: string, patchType: string): object => ({
      spec: {
        mutations: [
          {
            patchType,
            ...(patchType === "JSONPatch" ? { jsonPatch: { expression } } : { applyConfiguration: { expression } }),
          },
        ],
      },
    });
    assert.deepEqual(
      errors("mutatingadmissionpolicies", mutating("Object{spec: Object.spec{replicas: 1}}", "ApplyConfiguration")),
      [],
    );
    assert.deepEqual(
      errors("mutatingadmissionpolicies", mutating('[JSONPatch{op: "add", path: "/a", value: 1}]', "JSONPatch")),
      [],
    );
    assert.equal(errors("mutatingadmissionpolicies", mutating("1", "ApplyConfiguration")).length, 1);
    const typed = (spec: object): string[] =>
      errors("validatingadmissionpolicies", { spec }).map((line) => line.replace(/\n.*/s, ""));
    assert.deepEqual(typed({ validations: [{ expression: "object.ok" }] }), [
      'spec.validations[0].expression: Invalid value: "object.ok": must evaluate to bool but got dyn',
    ]);
    assert.deepEqual(typed({ auditAnnotations: [{ valueExpression: "object.x" }, { valueExpression: "null" }] }), [
      'spec.auditAnnotations[0].valueExpression: Invalid value: "object.x": must evaluate to one of [string null_type] but got dyn',
    ]);
    const asking = "string(authorizer.path('/').check('get').allowed())";
    assert.match(
      typed({ validations: [{ expression: "true", messageExpression: asking }] })[0]!,
      /compilation failed: ERROR: <input>:1:8: undeclared reference to 'authorizer'/,
    );
  });
});
