import assert from "node:assert/strict";
import { test } from "node:test";
import { share } from "#pkg/apimachinery/index.ts";
import { created, createWarnings } from "../testing/strategies.ts";
import type { Pod } from "../types/core-v1.ts";
import { adoptAppArmorAnnotations } from "./app-armor.ts";

const PREFIX = "container.apparmor.security.beta.kubernetes.io/";
const instead = (path: string, name: string) =>
  `${path}.annotations[${PREFIX}${name}]: deprecated since v1.30; use the "appArmorProfile" field instead`;

const draft = (annotation: string, ofPod?: object, own?: object) => ({
  metadata: { annotations: { [`${PREFIX}c`]: annotation } },
  spec: {
    ...(ofPod === undefined ? {} : { securityContext: { appArmorProfile: ofPod } }),
    containers: [
      { name: "c", image: "x", ...(own === undefined ? {} : { securityContext: { appArmorProfile: own } }) },
      { name: "d", image: "x" },
    ],
  },
});
const profiles = (pod: Pod) => pod.spec.containers.map(({ securityContext }) => securityContext?.appArmorProfile);

const cases: readonly [what: string, draft: Record<string, unknown>, profile: object | undefined, warned: boolean][] = [
  ["the runtime's own", draft("runtime/default"), { type: "RuntimeDefault" }, true],
  ["none", draft("unconfined"), { type: "Unconfined" }, true],
  ["one by name", draft("localhost/k8s-x"), { type: "Localhost", localhostProfile: "k8s-x" }, true],
  ["one without a name", draft("localhost/"), undefined, true],
  ["one with a name that no profile has", draft("localhost/ x"), undefined, true],
  ["what means nothing", draft("something"), undefined, true],
  ["the pod's own", draft("runtime/default", { type: "RuntimeDefault" }), undefined, false],
  ["another than the pod's", draft("unconfined", { type: "RuntimeDefault" }), { type: "Unconfined" }, true],
  ["the same as the field", draft("unconfined", undefined, { type: "Unconfined" }), { type: "Unconfined" }, false],
  [
    "a Windows pod's",
    { ...draft("unconfined"), spec: { ...draft("unconfined").spec, os: { name: "windows" } } },
    undefined,
    false,
  ],
];
for (const [what, pod, profile, warned] of cases) {
  test(`an AppArmor annotation: ${what}`, () => {
    assert.deepEqual(profiles(created("Pod", pod) as unknown as Pod), [profile, undefined]);
    assert.deepEqual(createWarnings("Pod", pod), warned ? [instead("metadata", "c")] : []);
  });
}

test("templates keep their annotations, and warn of those without a field", () => {
  const { metadata, spec } = draft("unconfined");
  const deployment = (template: object) => ({ spec: { selector: {}, template } });
  assert.deepEqual(createWarnings("apps/v1/Deployment", deployment({ metadata, spec })), [
    instead("spec.template.metadata", "c"),
  ]);
  const confined = draft("unconfined", { type: "Unconfined" }).spec;
  assert.deepEqual(createWarnings("apps/v1/Deployment", deployment({ metadata, spec: confined })), []);
});

test("a shared spec stays as it is, and pods with the same annotations share the new one", () => {
  const { metadata, spec } = draft("unconfined");
  const shared = share(structuredClone(spec));
  const one = { metadata: { name: "one", ...metadata }, spec: shared } as unknown as Pod;
  const two = { metadata: { name: "two", ...metadata }, spec: shared } as unknown as Pod;
  for (const pod of [one, two]) assert.equal(adoptAppArmorAnnotations(pod).length, 1);
  assert.equal(shared.containers[0]!.securityContext, undefined);
  assert.equal(one.spec, two.spec);
  assert.deepEqual(profiles(one), [{ type: "Unconfined" }, undefined]);
});

test("seccomp annotations mean nothing any more", () => {
  const dead = 'non-functional in v1.27+; use the "seccompProfile" field instead';
  const pod = "seccomp.security.alpha.kubernetes.io/pod";
  const container = "container.seccomp.security.alpha.kubernetes.io/c";
  const annotations = { [pod]: "runtime/default", [container]: "unconfined" };
  const containers = [{ name: "c", image: "x" }];
  assert.deepEqual(createWarnings("Pod", { metadata: { annotations }, spec: { containers } }), [
    `metadata.annotations[${pod}]: ${dead}`,
    `metadata.annotations[${container}]: ${dead}`,
  ]);
});
