import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { type ResourceDefinition, schemaOf } from "#pkg/api/index.ts";
import type {
  MutatingAdmissionPolicy as MutatingPolicy,
  MutatingAdmissionPolicyBinding,
  ValidatingAdmissionPolicy as ValidatingPolicy,
  ValidatingAdmissionPolicyBinding,
} from "#pkg/api/types/admissionregistration-v1.ts";
import type { Namespace } from "#pkg/api/types/core-v1.ts";
import type { AnyObject, KubeObject, StatusError } from "#pkg/apimachinery/index.ts";
import type { Authorizer } from "../../contract.ts";
import { MemorySource } from "../../source/index.ts";
import { PluginChain } from "../chain.ts";
import { attributesFor, type TestAttributes } from "../testing.ts";
import { webhookConditions } from "./conditions.ts";
import type { PolicyDeps } from "./evaluation.ts";
import { type LoadingSource, ParamFinder } from "./matching.ts";
import { MutatingAdmissionPolicy } from "./mutating.ts";
import { ValidatingAdmissionPolicy } from "./validating.ts";

const authorizer: Authorizer = {
  authorize: (a) => ({
    decision: a.resourceRequest && a.verb === "breakglass" && a.user.name === "root" ? "allow" : "no-opinion",
    reason: "",
  }),
};
const configMaps = new MemorySource<AnyObject>();
const deployments = {
  group: "apps",
  version: "v1",
  kind: "Deployment",
  plural: "deployments",
  namespaced: true,
  etcdPrefix: "deployments",
  subresources: [],
  schema: schemaOf("io.k8s.api.apps.v1.Deployment"),
  applyDefaults: () => undefined,
} as unknown as ResourceDefinition;
const installed = [
  { definition: deployments },
  {
    definition: {
      group: "",
      version: "v1",
      kind: "ConfigMap",
      plural: "configmaps",
      namespaced: true,
      etcdPrefix: "configmaps",
    } as ResourceDefinition,
  },
];
const deps: PolicyDeps = {
  namespaces: new MemorySource<Namespace>([
    { metadata: { name: "ns", labels: { env: "prod" } } } as unknown as Namespace,
  ]),
  equivalents: { of: (definition) => [definition], convert: (object) => structuredClone(object) },
  authorizer,
  params: new ParamFinder({
    source: <T extends AnyObject>() => configMaps as unknown as LoadingSource<T>,
    installed: () => installed,
  }),
};
const RULES = {
  resourceRules: [
    { apiGroups: ["apps"], apiVersions: ["v1"], operations: ["CREATE", "UPDATE"], resources: ["deployments"] },
  ],
};
const deployment = (spec: object = {}, metadata: object = {}): KubeObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "ns", ...metadata },
  spec: {
    replicas: 3,
    template: { spec: { containers: [{ name: "c", image: "nginx", ports: [{ containerPort: 80 }] }] } },
    ...spec,
  },
});
const request = (object: KubeObject, more: object = {}): TestAttributes => ({
  ...attributesFor("apps/deployments", { object, ...more }),
  resource: deployments,
});

describe("ValidatingAdmissionPolicy", () => {
  let policies: MemorySource<ValidatingPolicy>;
  let bindings: MemorySource<ValidatingAdmissionPolicyBinding>;
  let plugin: ValidatingAdmissionPolicy;
  beforeEach(() => {
    policies = new MemorySource();
    bindings = new MemorySource();
    plugin = new ValidatingAdmissionPolicy(policies, bindings, deps);
  });
  const policy = (spec: object): void =>
    policies.set({
      metadata: { name: "p" },
      spec: { matchConstraints: RULES, ...spec },
    } as unknown as ValidatingPolicy);
  const bind = (spec: object = {}): void =>
    bindings.set({
      metadata: { name: "b" },
      spec: { policyName: "p", validationActions: ["Deny"], ...spec },
    } as unknown as ValidatingAdmissionPolicyBinding);
  const judge = async (attributes = request(deployment())): Promise<string> => {
    try {
      if (plugin.handles(attributes)) await plugin.validate(attributes);
      return "";
    } catch (error) {
      return `${(error as StatusError).code} ${(error as StatusError).reason} ${(error as Error).message}`;
    }
  };
  const denied = (message: string): string =>
    `422 Invalid deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ${message}`;

  test("denies with expression, message or message expression", async () => {
    policy({ validations: [{ expression: "object.spec.replicas <= 2" }] });
    assert.equal(await judge(), "", "without a binding nothing happens");
    bind();
    assert.equal(await judge(), denied("failed expression: object.spec.replicas <= 2"));
    assert.equal(await judge(request(deployment({ replicas: 2 }))), "");
    policy({ validations: [{ expression: "false", message: "too many" }] });
    assert.equal(await judge(), denied("too many"));
    policy({
      validations: [{ expression: "false", message: "x", messageExpression: "'has ' + string(object.spec.replicas)" }],
    });
    assert.equal(await judge(), denied("has 3"));
    policy({ validations: [{ expression: "false", message: "fallback", messageExpression: "object.nothing" }] });
    assert.equal(await judge(), denied("fallback"));
    policy({ validations: [{ expression: "false", message: "m", reason: "Forbidden" }] });
    assert.match(await judge(), /^403 Forbidden /);
    policies.delete("", "p");
    assert.equal(await judge(), "");
  });

  test("sees request, old object, namespace, authorizer and variables", async () => {
    bind();
    const holds = async (expression: string, more: object = {}, attributes?: TestAttributes): Promise<void> => {
      policy({ validations: [{ expression }], ...more });
      assert.equal(await judge(attributes), "", expression);
    };
    await holds(
      "request.operation == 'CREATE' && request.kind.kind == 'Deployment' && request.userInfo.username == 'tester' && !request.dryRun",
    );
    await holds("request.resource.group == 'apps' && request.namespace == 'ns' && request.name == 'web'");
    await holds("oldObject == null");
    await holds("oldObject.spec.replicas == 1", {}, request(deployment(), { oldObject: deployment({ replicas: 1 }) }));
    await holds("namespaceObject.metadata.labels['env'] == 'prod'");
    await holds("!authorizer.group('').resource('pods').check('breakglass').allowed()");
    await holds(
      "authorizer.requestResource.check('breakglass').allowed()",
      {},
      request(deployment(), { user: { name: "root", groups: [] } }),
    );
    const variables = [
      { name: "containers", expression: "object.spec.template.spec.containers" },
      { name: "images", expression: "variables.containers.map(c, c.image)" },
      { name: "broken", expression: "object.spec.nothing" },
    ];
    await holds("variables.images.exists(i, i == 'nginx')", { variables });
    policy({ variables, validations: [{ expression: "variables.broken == 1" }] });
    assert.equal(
      await judge(),
      denied(
        "expression 'variables.broken == 1' resulted in error: composited variable \"broken\" fails to evaluate: no such key: nothing",
      ),
    );
  });

  test("warns and audits instead of denying", async () => {
    policy({
      validations: [{ expression: "false", message: "m" }],
      auditAnnotations: [{ key: "replicas", valueExpression: "'is ' + string(object.spec.replicas)" }],
    });
    bind({ validationActions: ["Warn", "Audit"] });
    const attributes = request(deployment());
    assert.equal(await judge(attributes), "");
    assert.deepEqual(attributes.warnings, ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': m"]);
    assert.deepEqual(JSON.parse(attributes.annotations["validation.policy.admission.k8s.io/validation_failure"]!), [
      { message: "m", policy: "p", binding: "b", expressionIndex: 0, validationActions: ["Warn", "Audit"] },
    ]);
    assert.equal(attributes.annotations["p/replicas"], "is 3");
  });

  test("applies a binding's actions to what cannot be evaluated, unless the policy fails open", async () => {
    const matchConditions = [{ name: "c", expression: "object.none == namespaceObject" }];
    const text = "expression 'object.none == namespaceObject' resulted in error: no such key: none";
    policy({ validations: [{ expression: "true" }], matchConditions });
    bind();
    assert.equal(await judge(), denied(text));
    bind({ validationActions: ["Warn"] });
    const attributes = request(deployment());
    assert.equal(await judge(attributes), "");
    assert.deepEqual(attributes.warnings, [
      `Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': ${text}`,
    ]);
    policy({ validations: [{ expression: "true" }], matchConditions, failurePolicy: "Ignore" });
    const ignored = request(deployment());
    assert.equal(await judge(ignored), "");
    assert.deepEqual(ignored.warnings, []);
  });

  test("audits the first failure, and refuses for an annotation that cannot be made", async () => {
    bind({ validationActions: ["Audit"] });
    policy({
      validations: [
        { expression: "false", message: "<a>" },
        { expression: "false", message: "b" },
      ],
    });
    const attributes = request(deployment());
    assert.equal(await judge(attributes), "");
    assert.equal(
      attributes.annotations["validation.policy.admission.k8s.io/validation_failure"],
      `[{"message":"\\u003ca\\u003e","policy":"p","binding":"b","expressionIndex":0,"validationActions":["Audit"]}]`,
    );
    policy({ auditAnnotations: [{ key: "k", valueExpression: "string(object.none)" }] });
    assert.equal(await judge(), denied("expression 'string(object.none)' resulted in error: no such key: none"));
  });

  test("lets messages and annotations ask for no permissions, and nothing cost more than its budget", async () => {
    bind();
    const variables = [{ name: "may", expression: "authorizer.path('/x').check('get').allowed()" }];
    const validations = [{ expression: "variables.may", message: "m", messageExpression: "string(variables.may)" }];
    policy({ variables, validations });
    assert.equal(await judge(), denied("m"));
    const costly =
      "[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, object.list.all(c, object.list.all(d, c + d != 'z'))))";
    policy({ validations: Array.from({ length: 40 }, () => ({ expression: costly })) });
    const object = { ...deployment(), list: Array.from({ length: 20 }, (_, index) => `${index}`) };
    assert.equal(
      await judge(request(object)),
      denied("validation failed due to running out of cost budget, no further validation rules will be run"),
    );
  });

  test("match conditions, selectors and exclusions narrow it", async () => {
    bind();
    const all = { validations: [{ expression: "false" }] };
    const skipped = async (more: object): Promise<void> => {
      policy({ ...all, ...more });
      assert.equal(await judge(), "", JSON.stringify(more));
    };
    await skipped({ matchConditions: [{ name: "no", expression: "object.spec.replicas > 5" }] });
    await skipped({
      matchConditions: [
        { name: "error", expression: "object.x == 1" },
        { name: "no", expression: "false" },
      ],
    });
    await skipped({ matchConstraints: { ...RULES, namespaceSelector: { matchLabels: { env: "dev" } } } });
    await skipped({ matchConstraints: { ...RULES, objectSelector: { matchLabels: { a: "b" } } } });
    await skipped({
      matchConstraints: { ...RULES, excludeResourceRules: [{ ...RULES.resourceRules[0], resourceNames: ["web"] }] },
    });
    policy({ ...all, matchConditions: [{ name: "error", expression: "object.x == 1" }] });
    assert.match(await judge(), /denied request: expression 'object.x == 1' resulted in error: no such key: x/);
    policy({ ...all, failurePolicy: "Ignore", matchConditions: [{ name: "error", expression: "object.x == 1" }] });
    assert.equal(await judge(), "");
    policy(all);
    bind({ matchResources: { namespaceSelector: { matchLabels: { env: "dev" } } } });
    assert.equal(await judge(), "");
  });

  test("parameters", async () => {
    const paramKind = { apiVersion: "v1", kind: "ConfigMap" };
    policy({
      paramKind,
      validations: [
        {
          expression: "object.spec.replicas <= int(params.data.max)",
          messageExpression: "'limit is ' + params.data.max",
        },
      ],
    });
    bind({ paramRef: { name: "limits", parameterNotFoundAction: "Deny" } });
    assert.equal(
      await judge(),
      denied("failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"),
    );
    bind({ paramRef: { name: "limits", parameterNotFoundAction: "Allow" } });
    assert.equal(await judge(), "");
    configMaps.set({
      metadata: { name: "limits", namespace: "ns", labels: { limits: "yes" } },
      data: { max: "2" },
    } as AnyObject);
    assert.equal(await judge(), denied("limit is 2"));
    bind({ paramRef: { selector: { matchLabels: { limits: "yes" } }, parameterNotFoundAction: "Deny" } });
    assert.equal(await judge(), denied("limit is 2"));
    policy({ paramKind: { apiVersion: "v9", kind: "None" }, validations: [{ expression: "true" }] });
    const unknown = "failed to configure policy: failed to find resource referenced by paramKind: '/v9, Kind=None'";
    const refused = `ValidatingAdmissionPolicy 'p' denied request: ${unknown}`;
    assert.equal(await judge(), `422 Invalid deployments.apps "web" is forbidden: ${refused}`);
    policy({
      paramKind: { apiVersion: "v9", kind: "None" },
      validations: [{ expression: "true" }],
      failurePolicy: "Ignore",
    });
    assert.equal(await judge(), "");
    policy({ paramKind, validations: [{ expression: "params == null", message: "there are parameters" }] });
    bind();
    assert.equal(await judge(), "", "a binding need not name parameters");
  });

  test("runs out of budget instead of running on", async () => {
    bind();
    policy({ validations: [{ expression: "lists.range(100000).all(x, lists.range(100000).all(y, x + y >= 0))" }] });
    assert.match(await judge(), /resulted in error/);
  });
});

describe("MutatingAdmissionPolicy", () => {
  let policies: MemorySource<MutatingPolicy>;
  let bindings: MemorySource<MutatingAdmissionPolicyBinding>;
  let plugin: MutatingAdmissionPolicy;
  beforeEach(() => {
    policies = new MemorySource();
    bindings = new MemorySource();
    plugin = new MutatingAdmissionPolicy(policies, bindings, deps);
  });
  const policy = (name: string, spec: object): void => {
    policies.set({
      metadata: { name },
      spec: { matchConstraints: RULES, reinvocationPolicy: "Never", ...spec },
    } as unknown as MutatingPolicy);
    bindings.set({
      metadata: { name: `${name}-binding` },
      spec: { policyName: name },
    } as unknown as MutatingAdmissionPolicyBinding);
  };
  const apply = (expression: string): object => ({
    patchType: "ApplyConfiguration",
    applyConfiguration: { expression },
  });
  const jsonPatch = (expression: string): object => ({ patchType: "JSONPatch", jsonPatch: { expression } });
  const added = (value: string): object =>
    jsonPatch(`[JSONPatch{op: "add", path: "/metadata/labels", value: ${value}}]`);
  const run = async (object = deployment()): Promise<KubeObject> => {
    const attributes = request(object);
    await new PluginChain([plugin]).admit(attributes);
    return attributes.object!;
  };
  const spec = (
    object: KubeObject,
  ): { replicas: number; template: { spec: { containers: Record<string, unknown>[] } } } =>
    object["spec"] as ReturnType<typeof spec>;

  test("apply configurations merge by the schema", async () => {
    policy("a", {
      variables: [{ name: "tag", expression: "'stable'" }],
      mutations: [
        apply("Object{metadata: Object.metadata{labels: {'added': 'yes'}}, spec: Object.spec{replicas: 5}}"),
        apply(`Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [
          Object.spec.template.spec.containers{name: "c", image: object.spec.template.spec.containers[0].image + ":" + variables.tag},
          Object.spec.template.spec.containers{name: "sidecar", image: "proxy"}
        ]}}}}`),
      ],
    });
    const result = await run(deployment({}, { labels: { own: "1" } }));
    assert.deepEqual(result.metadata.labels, { own: "1", added: "yes" });
    assert.equal(spec(result).replicas, 5);
    assert.deepEqual(spec(result).template.spec.containers, [
      { name: "c", image: "nginx:stable", ports: [{ containerPort: 80 }] },
      { name: "sidecar", image: "proxy" },
    ]);
  });

  test("integers that a double cannot hold stay whole where they are merged, and are text where they are patched", async () => {
    policy("a", {
      mutations: [
        jsonPatch('[JSONPatch{op: "add", path: "/metadata/annotations", value: {"n": 9223372036854775807}}]'),
        apply("Object{spec: Object.spec{replicas: 9223372036854775807}}"),
      ],
    });
    const result = await run();
    assert.equal(spec(result).replicas as unknown, 9223372036854775807n);
    assert.deepEqual(result.metadata.annotations, { n: "9223372036854775807" });
  });

  test("JSON patches", async () => {
    policy("a", {
      mutations: [
        jsonPatch(
          '[JSONPatch{op: "test", path: "/spec/replicas", value: 3}, JSONPatch{op: "replace", path: "/spec/replicas", value: object.spec.replicas + 1}]',
        ),
        jsonPatch(
          '[JSONPatch{op: "add", path: "/metadata/labels", value: {"a/b": "x"}}, JSONPatch{op: "remove", path: "/metadata/labels/" + jsonpatch.escapeKey("a/b")}]',
        ),
      ],
    });
    const result = await run();
    assert.equal(spec(result).replicas, 4);
    assert.equal(result.metadata.labels, undefined, "an empty map says nothing");
  });

  test("failures deny and leave nothing behind, or are ignored", async () => {
    const mutations = [
      apply("Object{spec: Object.spec{replicas: 9}}"),
      apply("Object{spec: Object.spec{replicas: object.none}}"),
    ];
    policy("a", { mutations });
    await assert.rejects(run(), {
      message:
        "policy 'a' with binding 'a-binding' denied request: expression 'Object{spec: Object.spec{replicas: object.none}}' resulted in error: no such key: none",
      code: 403,
      reason: "Invalid",
    });
    policy("a", { mutations, failurePolicy: "Ignore" });
    assert.equal(spec(await run()).replicas, 9, "the mutation that works counts");
    policy("a", { mutations: [apply("Object{metadata: Object.metadata{name: 'other'}}")] });
    assert.equal((await run()).metadata.name, "other");
    policy("a", { mutations: [apply("Object{spec: Object.spec{nonsense: 1}}")] });
    await assert.rejects(run(), {
      message:
        "policy 'a' with binding 'a-binding' denied request: error applying patch: failed to convert patch object to typed object: .spec.nonsense: field not declared in schema",
    });
    policy("a", { mutations: [apply("Object{spec: Object.status{}}")] });
    await assert.rejects(run(), /type mismatch: unexpected type name "Object.status", expected "Object.spec"/);
    policy("a", { mutations: [jsonPatch('[JSONPatch{op: "remove", path: "/spec/none"}]')] });
    await assert.rejects(run(), /denied request: JSON Patch: error in remove for path: '\/spec\/none'/);
    policy("a", { mutations: [jsonPatch('[JSONPatch{op: "replace", path: "", value: {"a": "b"}}]')] });
    await assert.rejects(run(), {
      code: 500,
      message: `Internal error occurred: Object 'Kind' is missing in '{"a":"b"}'`,
    });
    for (const [mutation, why] of [
      [apply("Object{metadata: null}"), ".metadata: expected a value of JSON, got null_type"],
      [apply("Object{metadata: Object.metadata{labels: {'a': timestamp(0)}}}"), ".metadata.labels.a: expected a value"],
      [apply("Object{metadata: Object.metadata{labels: {1: 'a'}}}"), ".metadata.labels: map key '1' is of type int"],
      [apply("Object{metadata: Object.metadata{finalizers: [b'a']}}"), ".metadata.finalizers[0]: expected a value"],
      [apply("Object{spec: Object.spec{replicas: 1u}}"), ".spec.replicas: expected a value of JSON, got uint"],
      [apply("Object{spec: Object.spec{replicas: double('NaN')}}"), ".spec.replicas: json: unsupported value: NaN"],
      [added("{1: 'a'}"), "unsupported type conversion from 'int' to string"],
      [added("[double('-Infinity')]"), "google.protobuf.Value.number_value: invalid -Inf value"],
      [added("quantity('1')"), "type conversion error from 'kubernetes.Quantity' to '*structpb.Value'"],
      [jsonPatch('[JSONPatch{op: "replace", path: "/kind", value: "Other"}]'), 'no kind "Other" is registered'],
    ] as const) {
      policy("a", { mutations: [mutation] });
      await assert.rejects(run(), (error: Error) => error.message.includes(why), why);
    }
    const forOthers = 'JSONPatch{op: "test", path: "/spec/replicas", value: 4}';
    policy("a", { mutations: [jsonPatch(`[${forOthers}, JSONPatch{op: "remove", path: "/spec"}]`)] });
    assert.equal(spec(await run()).replicas, 3, "a patch whose test fails is for another object");
  });

  test("IfNeeded policies run again when others changed the object after them", async () => {
    policy("a", {
      reinvocationPolicy: "IfNeeded",
      mutations: [apply("Object{metadata: Object.metadata{annotations: {'seen': string(object.spec.replicas)}}}")],
    });
    policy("b", { mutations: [apply("Object{spec: Object.spec{replicas: 7}}")] });
    const attributes = request(deployment());
    const inTree = {
      name: "InTree",
      handles: () => true,
      admit: ({ object }: { object: KubeObject | undefined }) => void (object!["touched"] = spec(object!).replicas),
    };
    await new PluginChain([inTree, plugin]).admit(attributes);
    assert.equal(attributes.object!.metadata.annotations!["seen"], "7");
    policies.delete("", "b");
    policy("a", {
      reinvocationPolicy: "IfNeeded",
      mutations: [apply("Object{spec: Object.spec{replicas: object.spec.replicas + 1}}")],
    });
    assert.equal(spec(await run()).replicas, 5, "its own change counts, too");
  });
});

test("webhook match conditions see object, request and authorizer", async () => {
  const attributes = request(deployment(), { user: { name: "root", groups: [] } });
  const versioned = {
    matched: { definition: deployments, subresource: "" },
    object: attributes.object,
    oldObject: undefined,
  };
  const holds = (expression: string): Promise<boolean> =>
    webhookConditions(authorizer)([{ name: "c", expression }]).matches({}, attributes, versioned);
  assert.equal(await holds("object.spec.replicas == 3 && request.userInfo.username == 'root'"), true);
  assert.equal(await holds("!authorizer.requestResource.check('breakglass').allowed()"), false);
  await assert.rejects(
    holds("object.none.x == 1"),
    /^Error: expression 'object.none.x == 1' resulted in error: no such key: none$/,
  );
  await assert.rejects(holds("object.none"), /^Error: compilation error: must evaluate to bool but got dyn$/);
  assert.equal(await holds("namespaceObject == null"), true);
});
