import assert from "node:assert/strict";
import { test } from "node:test";
import type { ValidatingAdmissionPolicy } from "#pkg/api/types/admissionregistration-v1.ts";
import { typeCheck } from "./type-check.ts";

const policy = (spec: object, resources = ["deployments"], apiGroups = ["apps"]): ValidatingAdmissionPolicy =>
  ({
    metadata: { name: "p" },
    spec: {
      matchConstraints: { resourceRules: [{ apiGroups, apiVersions: ["v1"], operations: ["*"], resources }] },
      ...spec,
    },
  }) as unknown as ValidatingAdmissionPolicy;

test("finds what does not fit the matched kind, per expression", () => {
  const warnings = typeCheck(
    policy({
      validations: [
        {
          expression: "object.spec.replicas > '1'",
          messageExpression: "'wants replicas > 1, got ' + object.spec.replicas",
        },
        { expression: "object.spec.replicas > 1", message: "m" },
      ],
    }),
  );
  assert.deepEqual(
    warnings.map(({ fieldRef, warning }) => [fieldRef, warning.split("\n")[0]]),
    [
      [
        "spec.validations[0].expression",
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'",
      ],
      [
        "spec.validations[0].messageExpression",
        "apps/v1, Kind=Deployment: ERROR: <input>:1:28: found no matching overload for '_+_' applied to '(string, int)'",
      ],
    ],
  );
});

test("knows variables, parameters, namespace and authorizer", () => {
  const fine = {
    paramKind: { apiVersion: "v1", kind: "ConfigMap" },
    variables: [{ name: "n", expression: "object.spec.replicas" }],
    validations: [
      { expression: "variables.n > int(params.data['max']) && request.operation == 'CREATE'" },
      { expression: "namespaceObject.metadata.name != '' && authorizer.requestResource.check('x').allowed()" },
    ],
  };
  assert.deepEqual(typeCheck(policy(fine)), []);
  const wrong = { ...fine, validations: [{ expression: "variables.n == 'a'" }, { expression: "params.nothing == 1" }] };
  assert.deepEqual(
    typeCheck(policy(wrong)).map(({ fieldRef }) => fieldRef),
    ["spec.validations[0].expression", "spec.validations[1].expression"],
  );
});

test("wildcards and unknown kinds are not checked; core kinds are named as Go names them", () => {
  const broken = { validations: [{ expression: "object.nope == 1" }] };
  assert.deepEqual(typeCheck(policy(broken, ["*"])), []);
  assert.deepEqual(typeCheck(policy(broken, ["deployments"], ["apps", "*"])), []);
  const several = policy(broken, ["jobs", "deployments", "statefulsets"], ["batch", "apps"]);
  assert.deepEqual(typeCheck(several)[0]!.warning.match(/^.*Kind=\w+/gm), [
    "apps/v1, Kind=Deployment",
    "apps/v1, Kind=StatefulSet",
    "batch/v1, Kind=Job",
  ]);
  assert.deepEqual(typeCheck(policy(broken, ["widgets"], ["example.com"])), []);
  assert.match(
    typeCheck(policy(broken, ["pods"], [""]))[0]!.warning,
    /^\/v1, Kind=Pod: ERROR: <input>:1:7: undefined field 'nope'/,
  );
});
