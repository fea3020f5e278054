import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LimitRange, Namespace, Pod, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import { type AnyObject, share } from "#pkg/apimachinery/index.ts";
import { FakeClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import { MemorySource } from "../source/index.ts";
import { CATALOG } from "./catalog.ts";
import { createPlugins } from "./create.ts";
import { featureGates } from "./gates.ts";
import { type AdmissionDeps, createAdmissionChain } from "./index.ts";
import { attributesFor } from "./testing.ts";

const empty = <T extends AnyObject>(): MemorySource<T> => new MemorySource<T>();

function deps(more: Partial<AdmissionDeps> = {}): AdmissionDeps {
  return {
    clock: new FakeClock(),
    random: new SeededRandom(1),
    log: silentLogger,
    authorizer: { authorize: () => ({ decision: "allow", reason: "" }) },
    sources: {
      namespaces: new MemorySource<Namespace>([{ metadata: { name: "ns" } } as Namespace]),
      serviceAccounts: new MemorySource<ServiceAccount>([
        { metadata: { name: "default", namespace: "ns" } } as ServiceAccount,
      ]),
      limitRanges: empty(),
      priorityClasses: empty(),
      storageClasses: empty(),
      ingressClasses: empty(),
      nodes: empty(),
      pods: empty(),
      resourceQuotas: empty(),
      runtimeClasses: empty(),
      csiDrivers: empty(),
    },
    quotaCache: { peek: () => undefined, update: () => Promise.reject(new Error("no quota to update")) },
    extension: { source: () => empty(), installed: () => [] },
    ...more,
  };
}
const pod = (): Pod =>
  ({ metadata: { name: "p", namespace: "ns" }, spec: { containers: [{ name: "c" }] } }) as unknown as Pod;

describe("createAdmissionChain", () => {
  test("a plain pod passes without waiting, with everything filled in", () => {
    const chain = createAdmissionChain(deps());
    const object = pod();
    const attributes = attributesFor("pods", { object });
    assert.equal(chain.admit(attributes), undefined);
    assert.equal(chain.validate(attributes), undefined);
    assert.equal(chain.settle(attributes, true), undefined);
    const { spec } = object;
    assert.equal(spec!.serviceAccountName, "default");
    assert.equal(spec!.priority, 0);
    assert.equal(spec!.tolerations!.length, 2);
    assert.equal(spec!.volumes!.length, 1);
    assert.equal(spec!.containers[0]!.imagePullPolicy, undefined, "AlwaysPullImages is off");
  });

  test("pods with a shared spec share what admission makes of it, with plugins that say so", () => {
    const shared = share(pod().spec!);
    const admit = (more: Partial<AdmissionDeps> = {}, chain = createAdmissionChain(deps(more))) => {
      const [one, two] = [pod(), pod()];
      for (const object of [one, two]) {
        object.spec = shared;
        assert.equal(chain.admit(attributesFor("pods", { object })), undefined);
      }
      return [one.spec!, two.spec!];
    };
    const [one, two] = admit();
    assert.equal(one, two);
    assert.equal(one!.volumes!.length, 1);
    const [other, another] = admit({ enable: ["AlwaysPullImages"] });
    assert.notEqual(other, another);
    assert.equal(other!.containers[0]!.imagePullPolicy, "Always");
    const limits = [{ type: "Container", default: { cpu: "1" } }];
    const range = { metadata: { name: "l", namespace: "ns" }, spec: { limits } } as unknown as LimitRange;
    const [limited] = admit({ sources: { ...deps().sources, limitRanges: new MemorySource([range]) } });
    assert.equal(limited!.containers[0]!.resources!.limits!["cpu"], "1");
    assert.deepEqual(shared, pod().spec);
  });

  test("plugins are switched by name", () => {
    const object = pod();
    const chain = createAdmissionChain(
      deps({ enable: ["AlwaysPullImages"], disable: ["ServiceAccount", "EventRateLimit"] }),
    );
    assert.equal(chain.admit(attributesFor("pods", { object })), undefined);
    assert.equal(object.spec!.containers[0]!.imagePullPolicy, "Always");
    assert.equal(object.spec!.volumes, undefined);
    assert.throws(
      () => createAdmissionChain(deps({ enable: ["EventRateLimit"] })),
      /admission plugin "EventRateLimit" needs its configuration/,
    );
    assert.throws(() => createAdmissionChain(deps({ disable: ["NoSuch"] })), /admission plugin "NoSuch" is unknown/);
  });

  test("what is on by default is there, in upstream's order, and follows its feature gate", () => {
    const known = new Set(CATALOG.map(({ name }) => name));
    const namesOf = (more: Partial<AdmissionDeps>): string[] =>
      createPlugins(deps(more))
        .map(({ name }) => name)
        .filter((name) => known.has(name));
    const gates = featureGates();
    const expected = CATALOG.filter(({ on, gate }) => on && (gate === undefined || gates[gate]));
    assert.deepEqual(
      namesOf({}),
      expected.map(({ name }) => name),
    );
    const everything = featureGates({ GenericWorkload: "true", WorkloadWithJob: "true" });
    const off = CATALOG.filter(({ on, name }) => !on && name !== "AlwaysAdmit" && name !== "PodTolerationRestriction");
    const configuration = { eventRateLimits: [{ type: "Server" as const, qps: 1, burst: 1, cacheSize: 1 }] };
    const imagePolicy = { webhook: { url: "https://hook" }, allowTtlMs: 0, denyTtlMs: 0, defaultAllow: false };
    assert.deepEqual(
      namesOf({ gates: everything, enable: off.map(({ name }) => name), configuration, imagePolicy }),
      CATALOG.map(({ name }) => name).filter((name) => name !== "AlwaysAdmit" && name !== "PodTolerationRestriction"),
    );
    assert.ok(
      !namesOf({ gates: featureGates({ NodeDeclaredFeatures: "f" }) }).includes("NodeDeclaredFeatureValidator"),
    );
  });

  test("tolerations last as long as the flags say", async () => {
    const object = pod();
    const chain = createAdmissionChain(deps({ tolerationSeconds: { notReady: 7, unreachable: 0 } }));
    await chain.admit(attributesFor("pods", { object }));
    assert.deepEqual(
      object.spec!.tolerations!.map(({ tolerationSeconds }) => tolerationSeconds),
      [7, 0],
    );
  });

  test("feature gates are read as upstream reads them", () => {
    assert.throws(() => featureGates({ Other: "true" }), { message: "unrecognized feature gate: Other" });
    assert.throws(() => featureGates({ GenericWorkload: "yes" }), {
      message: 'invalid value of GenericWorkload=yes, err: strconv.ParseBool: parsing "yes": invalid syntax',
    });
    assert.throws(() => featureGates({ InPlacePodVerticalScaling: "false" }), {
      message: "cannot set feature gate InPlacePodVerticalScaling to false, feature is locked to true",
    });
  });

  test("a refusal by one plugin ends the pass", () => {
    const chain = createAdmissionChain(deps());
    assert.throws(
      () => chain.admit(attributesFor("namespaces", { operation: "DELETE", namespace: "", name: "default" })),
      /this namespace may not be deleted/,
    );
  });

  test("NamespaceAutoProvision has to be wired", async () => {
    const attributes = attributesFor("configmaps", { object: { metadata: { name: "c" } }, namespace: "new" });
    await assert.rejects(
      async () => createAdmissionChain(deps({ enable: ["NamespaceAutoProvision"] })).admit(attributes),
      /createNamespace is not wired/,
    );
    const made: string[] = [];
    const createNamespace = async (name: string): Promise<void> => void made.push(name);
    const lookupNamespace = async (name: string): Promise<Namespace | undefined> =>
      made.includes(name) ? ({ metadata: { name } } as Namespace) : undefined;
    await createAdmissionChain(deps({ enable: ["NamespaceAutoProvision"], createNamespace, lookupNamespace })).admit(
      attributes,
    );
    assert.deepEqual(made, ["new"]);
  });
});

test("a pod with parts missing is left to validation", async () => {
  const chain = createAdmissionChain(deps({ enable: ["ExtendedResourceToleration", "AlwaysPullImages"] }));
  for (const spec of [{}, { containers: [{}], volumes: [{}], initContainers: [{}] }, { containers: null }]) {
    const object = { apiVersion: "v1", kind: "Pod", metadata: { name: "p", namespace: "ns" }, spec };
    const attributes = attributesFor("pods", { kind: "Pod", object });
    await chain.admit(attributes);
    await chain.validate(attributes);
  }
});
