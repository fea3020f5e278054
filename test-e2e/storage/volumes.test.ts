import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";
import { BUSYBOX, pod } from "../framework/manifests.ts";

const context = useCluster("volumes");

test(
  "configMap, secret, downward API and projected volumes hold what they should, with their modes",
  { timeout: 120_000 },
  async () => {
    const { cluster } = context;
    await cluster.kubectl(["create", "configmap", "settings", "--from-literal=a=1", "--from-literal=b=2"]);
    await cluster.kubectl(["create", "secret", "generic", "credentials", "--from-literal=password=s3cret"]);
    const mounts = ["config", "secret", "pod", "all"].map((name) => ({ name, mountPath: `/${name}` }));
    await cluster.apply(
      pod("reader", {
        container: { volumeMounts: mounts },
        spec: {
          volumes: [
            { name: "config", configMap: { name: "settings", items: [{ key: "a", path: "deep/a", mode: 0o400 }] } },
            { name: "secret", secret: { secretName: "credentials", defaultMode: 0o440 } },
            { name: "pod", downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } },
            {
              name: "all",
              projected: {
                sources: [
                  { configMap: { name: "settings" } },
                  { secret: { name: "credentials" } },
                  { secret: { name: "absent", optional: true } },
                  { serviceAccountToken: { path: "token", audience: "vault", expirationSeconds: 600 } },
                ],
              },
            },
          ],
        },
      }),
    );
    await cluster.ready("pod/reader");
    assert.equal(await cluster.exec("reader", "cat", "/config/deep/a"), "1");
    assert.equal(
      await cluster.exec("reader", "stat", "-L", "-c", "%a", "/config/deep/a", "/secret/password"),
      "400\n440\n",
    );
    assert.equal(await cluster.exec("reader", "cat", "/pod/name"), "reader");
    assert.equal(await cluster.exec("reader", "cat", "/all/a", "/all/b", "/all/password"), "12s3cret");
    const claims = (await cluster.exec("reader", "cat", "/all/token")).split(".")[1]!;
    const token = JSON.parse(Buffer.from(claims, "base64url").toString()) as { aud: string[]; sub: string };
    assert.deepEqual(token.aud, ["vault"]);
    assert.equal(token.sub, `system:serviceaccount:${cluster.namespace}:default`);

    await cluster.kubectl(["patch", "configmap", "settings", "--type=merge", "-p", '{"data":{"a":"changed"}}']);
    await eventually(
      "the change is seen in both volumes",
      async () => {
        const seen = await cluster.exec("reader", "cat", "/config/deep/a", "/all/a");
        return seen === "changedchanged" ? true : undefined;
      },
      60_000,
    );
  },
);

test(
  "emptyDir is shared between containers, survives a restart, and is memory when asked",
  { timeout: 120_000 },
  async () => {
    const { cluster } = context;
    const volumeMounts = [
      { name: "scratch", mountPath: "/scratch" },
      { name: "memory", mountPath: "/memory" },
    ];
    const crashOnce = "echo run >> /scratch/runs; test $(wc -l < /scratch/runs) -gt 1 || exit 1; sleep 3600";
    const manifest = pod("scratch", {
      command: ["sh", "-c", crashOnce],
      container: { volumeMounts },
      spec: {
        volumes: [
          { name: "scratch", emptyDir: {} },
          { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "16Mi" } },
        ],
      },
    }) as { spec: { containers: object[] } };
    manifest.spec.containers.push({ name: "other", image: "busybox:1.35", command: ["sleep", "3600"], volumeMounts });
    await cluster.apply(manifest);
    await eventually(
      "the first container has run twice",
      async () => {
        const runs = await cluster
          .kubectl(["exec", "scratch", "-c", "other", "--", "cat", "/scratch/runs"])
          .catch(() => "");
        return runs === "run\nrun\n" ? true : undefined;
      },
      60_000,
    );
    const filesystems = await cluster.kubectl([
      "exec",
      "scratch",
      "-c",
      "other",
      "--",
      "stat",
      "-f",
      "-c",
      "%T",
      "/memory",
    ]);
    assert.match(filesystems, /tmpfs/);
    assert.equal(
      await cluster.kubectl(["exec", "scratch", "-c", "other", "--", "stat", "-c", "%a", "/scratch"]),
      "777\n",
    );
  },
);

test(
  "subPath mounts one file or directory of a volume; leaving the volume is refused",
  { timeout: 90_000 },
  async () => {
    const { cluster } = context;
    await cluster.kubectl(["create", "configmap", "site", "--from-literal=index.html=hello"]);
    await cluster.apply(
      pod("sub", {
        container: {
          volumeMounts: [
            { name: "site", mountPath: "/etc/site.html", subPath: "index.html" },
            { name: "data", mountPath: "/data", subPathExpr: "$(WHO)/inner" },
            { name: "data", mountPath: "/whole" },
          ],
          env: [{ name: "WHO", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
        },
        spec: {
          volumes: [
            { name: "site", configMap: { name: "site" } },
            { name: "data", emptyDir: {} },
          ],
        },
      }),
    );
    await cluster.ready("pod/sub");
    assert.equal(await cluster.exec("sub", "cat", "/etc/site.html"), "hello");
    await cluster.kubectl(["patch", "configmap", "site", "--type=merge", "-p", '{"data":{"index.html":"changed"}}']);
    await cluster.exec("sub", "touch", "/data/made");
    assert.equal(await cluster.exec("sub", "ls", "/whole/sub/inner"), "made\n");
    // The command may die with the container that it ends (137), so its own exit code says nothing.
    await cluster.try(["exec", "sub", "--", "kill", "1"]);
    await eventually("the container restarts", async () =>
      (await cluster.jsonpath("pod/sub", "{.status.containerStatuses[0].restartCount}")) === "1" ? true : undefined,
    );
    await eventually("the container that starts next sees the change", async () =>
      (await cluster.exec("sub", "cat", "/etc/site.html", "/whole/sub/inner/made")) === "changed" ? true : undefined,
    );
    const escape = pod("escape", {
      container: { volumeMounts: [{ name: "data", mountPath: "/data", subPath: "../../etc" }] },
      spec: { volumes: [{ name: "data", emptyDir: {} }] },
    });
    const { stderr } = await cluster.try(["create", "-f", "-"], { stdin: JSON.stringify(escape) });
    assert.match(
      stderr,
      /spec\.containers\[0\]\.volumeMounts\.subPath: Invalid value: "\.\.\/\.\.\/etc": must not contain '\.\.'/,
    );
  },
);

test("a link that a container plants in a volume leads no other container out of it", { timeout: 90_000 }, async () => {
  const { cluster } = context;
  const volumeMounts = [{ name: "data", mountPath: "/data" }];
  const command = ["sh", "-c", "mkdir /data/inside; ln -s inside /data/fine; ln -s / /data/out"];
  await cluster.apply(
    pod("planted", {
      spec: {
        volumes: [{ name: "data", emptyDir: {} }],
        initContainers: [{ name: "planter", image: BUSYBOX, command, volumeMounts }],
        containers: ["fine", "out/etc"].map((subPath, index) => ({
          name: `c${index}`,
          image: BUSYBOX,
          command: ["sleep", "600"],
          volumeMounts: [{ ...volumeMounts[0], subPath }],
        })),
      },
    }),
  );
  const states = await eventually("one runs, one does not", async () => {
    const { status } = await cluster.get<{ status: { containerStatuses?: Array<{ state: Record<string, object> }> } }>(
      "pod",
      "planted",
    );
    const [fine, out] = (status.containerStatuses ?? []).map(({ state }) => state);
    return fine?.["running"] !== undefined && "message" in (out?.["waiting"] ?? {}) ? out : undefined;
  });
  assert.deepEqual(states["waiting"], {
    reason: "CreateContainerConfigError",
    message: 'failed to prepare subPath for volumeMount "data" of container "c1"',
  });
});

test("a claim is bound on first use and keeps its data over pods", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  await cluster.apply({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "store" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "10Mi" } } },
  });
  assert.equal(await cluster.jsonpath("pvc/store", "{.status.phase}"), "Pending");
  const user = (name: string, command: string) =>
    pod(name, {
      command: ["sh", "-c", `${command}; sleep 3600`],
      container: { volumeMounts: [{ name: "store", mountPath: "/store" }] },
      spec: { volumes: [{ name: "store", persistentVolumeClaim: { claimName: "store" } }] },
    });
  await cluster.apply(user("writer", "echo kept > /store/file"));
  await cluster.ready("pod/writer");
  assert.equal(await cluster.jsonpath("pvc/store", "{.status.phase}"), "Bound");
  await eventually("the file is written", async () =>
    (await cluster.exec("writer", "cat", "/store/file")) === "kept\n" ? true : undefined,
  );
  await cluster.kubectl(["delete", "pod", "writer"]);
  await cluster.apply(user("second", "true"));
  await cluster.ready("pod/second");
  assert.equal(await cluster.exec("second", "cat", "/store/file"), "kept\n");
  // The claim is protected while a pod uses it.
  await cluster.kubectl(["delete", "pvc", "store", "--wait=false"]);
  assert.notEqual(await cluster.jsonpath("pvc/store", "{.metadata.deletionTimestamp}"), "");
  await cluster.kubectl(["delete", "pod", "second"]);
  await cluster.kubectl(["wait", "--for=delete", "pvc/store", "--timeout=60s"]);
});
