import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConfigMap, Volume } from "#pkg/api/types/core-v1.ts";
import { container, pod } from "../testing/observed.ts";
import { volumesExpected } from "./expected.ts";

const known: ConfigMap = {
  metadata: { name: "kube-root-ca.crt", namespace: "ns", uid: "", resourceVersion: "1", creationTimestamp: "" },
  data: { "ca.crt": "CA" },
};
const expected = (...volumes: Volume[]) =>
  volumesExpected(pod({ containers: [container("c")], volumes }), ({ kind, name }) =>
    kind === "configmaps" && name === "kube-root-ca.crt" ? known : undefined,
  );
const rootCa = (key: string) => ({ configMap: { name: "kube-root-ca.crt", items: [{ key, path: key }] } });

test("what every pod has is expected: its token, the CA that is here, its namespace", () => {
  const namespace = { downwardAPI: { items: [{ path: "namespace", fieldRef: { fieldPath: "metadata.namespace" } }] } };
  const sources = [{ serviceAccountToken: { path: "token" } }, rootCa("ca.crt"), namespace];
  assert.equal(expected({ name: "api", projected: { sources } }, { name: "scratch", emptyDir: {} }), true);
  assert.equal(expected(), true);
});

for (const [what, volume] of Object.entries<Volume>({
  "an object that is not here": { name: "v", configMap: { name: "other" } },
  "a key that is not in it": { name: "v", projected: { sources: [rootCa("tls.crt")] } },
  "a secret that is not here": { name: "v", secret: { secretName: "s" } },
  "a host path": { name: "v", hostPath: { path: "/x" } },
  "a claim": { name: "v", persistentVolumeClaim: { claimName: "c" } },
  "a mount in memory": { name: "v", emptyDir: { medium: "Memory" } },
  "a trust bundle": { name: "v", projected: { sources: [{ clusterTrustBundle: { name: "b", path: "b" } }] } },
}))
  test(`not expected: ${what}`, () => assert.equal(expected({ name: "fine", emptyDir: {} }, volume), false));
