import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Pod, ServiceAccount as Account } from "#pkg/api/types/core-v1.ts";
import { FakeClock, SeededRandom } from "#pkg/util/index.ts";
import { ServiceAccount } from "./service-account.ts";
import { attributesFor, run } from "../testing.ts";
import { sourceOf, testPod } from "./testing.ts";

describe("ServiceAccount", () => {
  const clock = new FakeClock();
  const accounts = sourceOf<Account>(
    { metadata: { name: "default", namespace: "ns" } },
    {
      metadata: { name: "off", namespace: "ns" },
      automountServiceAccountToken: false,
      imagePullSecrets: [{ name: "pull" }],
    },
    { metadata: { name: "on", namespace: "ns" }, automountServiceAccountToken: true },
  );
  const plugin = new ServiceAccount(accounts, clock, new SeededRandom(7));
  const admit = async (object: Pod, namespace = "ns"): Promise<Pod> => {
    await run(plugin, attributesFor("pods", { object, namespace }));
    return object;
  };

  const matrix: [string, boolean | undefined, boolean][] = [
    ["default", undefined, true],
    ["default", true, true],
    ["default", false, false],
    ["on", undefined, true],
    ["on", true, true],
    ["on", false, false],
    ["off", undefined, false],
    ["off", true, true],
    ["off", false, false],
  ];
  for (const [account, wanted, mounted] of matrix) {
    test(`account ${account}, pod automount ${wanted}: ${mounted ? "mounted" : "not mounted"}`, async () => {
      const admitted = await admit(
        testPod({
          serviceAccountName: account,
          ...(wanted === undefined ? {} : { automountServiceAccountToken: wanted }),
        }),
      );
      assert.equal(admitted.spec!.volumes?.length ?? 0, mounted ? 1 : 0);
      assert.equal(admitted.spec!.containers[0]!.volumeMounts?.length ?? 0, mounted ? 1 : 0);
    });
  }

  test("adds name, volume and mounts as upstream does", async () => {
    const admitted = await admit(testPod({ initContainers: [{ name: "i" }] }));
    const { spec } = admitted;
    assert.equal(spec!.serviceAccountName, "default");
    assert.equal(spec!.serviceAccount, "default");
    const [volume] = spec!.volumes!;
    assert.match(volume!.name, /^kube-api-access-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    const { name: _name, ...rest } = volume!;
    assert.deepEqual(rest, {
      projected: {
        sources: [
          { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
          { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
          {
            downwardAPI: {
              items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
            },
          },
        ],
        defaultMode: 420,
      },
    });
    const mount = { name: volume!.name, readOnly: true, mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" };
    assert.deepEqual(spec!.containers[0]!.volumeMounts, [mount]);
    assert.deepEqual(spec!.initContainers![0]!.volumeMounts, [mount]);
  });
  test("leaves a container alone that mounts something there", async () => {
    const volumeMounts = [{ name: "own", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }];
    const admitted = await admit(testPod({ containers: [{ name: "c", volumeMounts }] }));
    assert.equal(admitted.spec!.volumes, undefined);
  });
  test("brings image pull secrets unless the pod has its own", async () => {
    assert.deepEqual((await admit(testPod({ serviceAccountName: "off" }))).spec!.imagePullSecrets, [{ name: "pull" }]);
    const own = [{ name: "mine" }];
    assert.deepEqual(
      (await admit(testPod({ serviceAccountName: "off", imagePullSecrets: own }))).spec!.imagePullSecrets,
      own,
    );
  });
  test("waits for a new namespace's default account, not for others", async () => {
    const waiting = admit(testPod({}, { namespace: "new" }), "new");
    await clock.advance(150);
    accounts.set({ metadata: { name: "default", namespace: "new" } } as Account);
    await clock.advance(150);
    assert.equal((await waiting).spec!.serviceAccountName, "default");
    await assert.rejects(
      admit(testPod({ serviceAccountName: "nobody" })),
      /pods "p" is forbidden: error looking up service account ns\/nobody: serviceaccount "nobody" not found/,
    );
  });
  test("finds an account that this server's cache has not seen yet", async () => {
    const fresh = { metadata: { name: "fresh", namespace: "ns" } } as Account;
    const late = new ServiceAccount(accounts, clock, new SeededRandom(1), async (_ns, name) =>
      name === "fresh" ? fresh : undefined,
    );
    const object = testPod({ serviceAccountName: "fresh" });
    await run(late, attributesFor("pods", { object }));
    assert.equal(object.spec!.volumes?.length, 1);
    const other = attributesFor("pods", { object: testPod({ serviceAccountName: "nobody" }) });
    await assert.rejects(run(late, other), /serviceaccount "nobody" not found/);
  });
  test("restricts mirror pods and enforced secrets", async () => {
    const mirror = { annotations: { "kubernetes.io/config.mirror": "x" } };
    await admit(testPod({}, mirror));
    await assert.rejects(
      admit(testPod({ serviceAccountName: "default" }, mirror)),
      /a mirror pod may not reference service accounts/,
    );
    await assert.rejects(
      admit(testPod({ volumes: [{ name: "v", secret: { secretName: "s" } }] }, mirror)),
      /a mirror pod may not reference secrets/,
    );
    accounts.set({
      metadata: { name: "strict", namespace: "ns", annotations: { "kubernetes.io/enforce-mountable-secrets": "true" } },
      secrets: [{ name: "ok" }],
    } as unknown as Account);
    await admit(testPod({ serviceAccountName: "strict", volumes: [{ name: "v", secret: { secretName: "ok" } }] }));
    await assert.rejects(
      admit(testPod({ serviceAccountName: "strict", volumes: [{ name: "v", secret: { secretName: "other" } }] })),
      /volume with secret.secretName="other" is not allowed because service account strict does not reference that secret/,
    );
    const pulls = testPod({ serviceAccountName: "strict", imagePullSecrets: [{ name: "pull" }] });
    await assert.rejects(
      admit(pulls),
      /imagePullSecrets\[0\].name="pull" is not allowed because service account strict does not reference that imagePullSecret/,
    );
  });
});
