import assert from "node:assert/strict";
import { after, test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";

after(async () => {
  await context.cluster.kubectl(["delete", "crd", crdName, "--ignore-not-found", "--timeout=60s"]);
});
const context = useCluster("crd");
const limit = { timeout: 60_000 };

// Definitions belong to the whole cluster: a group of this run's own keeps other runs out.
const group = `g${Math.random().toString(36).slice(2, 8)}.example.com`;
const crdName = `widgets.${group}`;

const specSchema = {
  type: "object",
  required: ["size"],
  properties: {
    size: { type: "integer", minimum: 1, maximum: 10, description: "How large the widget is." },
    color: { type: "string", enum: ["red", "green"], default: "red" },
    code: { type: "string", pattern: "^[a-z]+$", maxLength: 5 },
    replicas: { type: "integer", default: 1 },
    max: { type: "integer" },
    fixed: { type: "string", "x-kubernetes-validations": [{ rule: "self == oldSelf", message: "fixed is immutable" }] },
  },
  "x-kubernetes-validations": [
    { rule: "!has(self.max) || self.size <= self.max", message: "size must not exceed max" },
  ],
};
const definition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: crdName },
  spec: {
    group,
    scope: "Namespaced",
    names: {
      plural: "widgets",
      singular: "widget",
      kind: "Widget",
      shortNames: ["wd"],
      categories: [`parts-${group.split(".")[0]}`],
    },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: "object",
            description: "Widget is a thing for tests.",
            properties: {
              spec: specSchema,
              status: { type: "object", properties: { replicas: { type: "integer" } } },
            },
          },
        },
        subresources: {
          status: {},
          scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
        },
        additionalPrinterColumns: [
          { name: "Size", type: "integer", jsonPath: ".spec.size" },
          { name: "Color", type: "string", jsonPath: ".spec.color" },
          { name: "Hidden", type: "string", jsonPath: ".spec.code", priority: 1 },
        ],
      },
    ],
  },
};
const widget = (name: string, spec: object) => ({
  apiVersion: `${group}/v1`,
  kind: "Widget",
  metadata: { name },
  spec,
});

async function refusal(spec: object): Promise<string> {
  const stdin = JSON.stringify(widget("refused", spec));
  const { exitCode, stderr } = await context.cluster.try(["create", "-f", "-"], { stdin });
  assert.equal(exitCode, 1);
  return stderr;
}

test("a definition is established, found and explained", limit, async () => {
  const { cluster } = context;
  await cluster.apply(definition);
  await cluster.kubectl(["wait", "--for=condition=Established", `crd/${crdName}`, "--timeout=30s"]);
  const listed = await cluster.kubectl(["api-resources", `--api-group=${group}`, "--no-headers"]);
  assert.match(listed, /^widgets +wd +g\w+\.example\.com\/v1 +true +Widget\n$/);
  const explained = await eventually("explain knows it", () => cluster.kubectl(["explain", `widgets.${group}.spec`]));
  assert.match(explained, /size\t<integer> -required-\n +How large the widget is\./);
  assert.match(explained, /color\t<string>\n +enum: red, green/);
  assert.match(
    await cluster.kubectl(["explain", `widgets.${group}`, "--recursive"]),
    /DESCRIPTION:\n +Widget is a thing/,
  );
});

test("defaults are filled in, columns shown, status and scale served", limit, async () => {
  const { cluster } = context;
  await cluster.apply({ ...widget("plain", { size: 3, code: "abc" }), status: { replicas: 9 } });
  assert.equal(await cluster.jsonpath("wd/plain", "{.spec.color} {.spec.replicas} [{.status}]"), "red 1 []");
  assert.match(
    await cluster.kubectl(["get", `parts-${group.split(".")[0]}`, "-o", "name"]),
    /^widget\.g\w+\.example\.com\/plain\n$/,
  );
  const table = await cluster.kubectl(["get", "wd"]);
  assert.match(table, /^NAME +SIZE +COLOR\nplain +3 +red\n$/);
  assert.match(
    await cluster.kubectl(["get", "widgets", "-o", "wide"]),
    /^NAME +SIZE +COLOR +HIDDEN\nplain +3 +red +abc\n$/,
  );
  assert.match(
    await cluster.kubectl(["scale", "--replicas=4", "widget/plain"]),
    /widget\.g\w+\.example\.com\/plain scaled/,
  );
  assert.equal(await cluster.jsonpath("wd/plain", "{.spec.replicas} {.metadata.generation}"), "4 2");
  await cluster.kubectl([
    "patch",
    "wd/plain",
    "--subresource=status",
    "--type=merge",
    "-p",
    '{"status":{"replicas":4}}',
  ]);
  assert.equal(await cluster.jsonpath("wd/plain", "{.status.replicas} {.metadata.generation}"), "4 2");
});

test("the schema's refusals read as upstream's", limit, async () => {
  assert.match(
    await refusal({}),
    /The Widget "refused" is invalid: \n\* spec\.size: Required value\n\* <nil>: Invalid value: null: some validation rules were not checked/,
  );
  assert.match(
    await refusal({ size: 11 }),
    /spec\.size: Invalid value: 11: spec\.size in body should be less than or equal to 10/,
  );
  assert.match(
    await refusal({ size: 1, color: "blue" }),
    /spec\.color: Unsupported value: "blue": supported values: "red", "green"/,
  );
  assert.match(
    await refusal({ size: 1, code: "ABC" }),
    /spec\.code: Invalid value: "ABC": spec\.code in body should match '\^\[a-z\]\+\$'/,
  );
  assert.match(await refusal({ size: 1, code: "abcdef" }), /spec\.code: Too long: may not be more than 5 bytes/);
  assert.match(
    await refusal({ size: "1" }),
    /spec\.size: Invalid value: "string": spec\.size in body must be of type integer: "string"/,
  );
  assert.match(await refusal({ size: 3, max: 2 }), /spec: Invalid value: .*size must not exceed max/);
  assert.match(await refusal({ size: 3, unknown: 2 }), /strict decoding error: unknown field "spec\.unknown"/);
});

test("a transition rule guards updates", limit, async () => {
  const { cluster } = context;
  await cluster.apply(widget("fixed", { size: 1, fixed: "a" }));
  const { stderr } = await cluster.try(["patch", "wd/fixed", "--type=merge", "-p", '{"spec":{"fixed":"b"}}']);
  assert.match(
    stderr,
    /spec\.fixed: Invalid value: "b": fixed is immutable|spec\.fixed: Invalid value: "string": fixed is immutable/,
  );
  const { stderr: strategic } = await cluster.try(["patch", "wd/fixed", "-p", '{"spec":{"size":2}}']);
  assert.match(
    strategic,
    /the body of the request was in an unknown format - accepted media types include: application\/json-patch\+json, application\/merge-patch\+json, application\/apply-patch\+(yaml|cbor)/,
  );
});

test("a broken definition is refused, a deleted one takes its objects along", limit, async () => {
  const { cluster } = context;
  const wrong = { ...definition, metadata: { name: "wrong" } };
  const { stderr } = await cluster.try(["create", "-f", "-"], { stdin: JSON.stringify(wrong) });
  assert.match(stderr, /metadata\.name: Invalid value: "wrong": must be spec\.names\.plural\+"\."\+spec\.group/);
  await cluster.kubectl(["delete", "crd", crdName, "--wait=true", "--timeout=40s"]);
  const gone = await eventually("the resource is gone", async () => {
    const answer = await cluster.try(["get", `widgets.${group}`]);
    return answer.exitCode === 0 ? undefined : answer.stderr;
  });
  assert.match(gone, /the server doesn't have a resource type "widgets"/);
  await cluster.apply(definition);
  await cluster.kubectl(["wait", "--for=condition=Established", `crd/${crdName}`, "--timeout=30s"]);
  const names = await eventually("it is served again", () =>
    cluster.kubectl(["get", `widgets.${group}`, "-o", "name"]),
  );
  assert.equal(names, "");
});
