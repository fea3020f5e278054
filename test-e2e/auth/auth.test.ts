import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { after, test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";
import { pod } from "../framework/manifests.ts";

after(() => context.cluster.kubectl(["delete", "csr", request, "--ignore-not-found"]));
const context = useCluster("auth");
const limit = { timeout: 60_000 };
const run = Math.random().toString(36).slice(2, 8);
const request = `e2e-csr-${run}`;

const from = (object: object) => ({ stdin: JSON.stringify(object) });
const create = (object: object, ...more: string[]) => context.cluster.try(["create", ...more, "-f", "-"], from(object));

test("can-i and --as follow the role bindings", limit, async () => {
  const { cluster } = context;
  const asJane = ["--as=jane", "--as-group=developers"];
  assert.equal(await cluster.kubectl(["auth", "can-i", "*", "*"]), "yes\n");
  const before = await cluster.try(["auth", "can-i", "list", "pods", ...asJane]);
  assert.deepEqual([before.exitCode, before.stdout], [1, "no\n"]);
  const { stderr } = await cluster.try(["get", "pods", ...asJane]);
  assert.equal(
    stderr,
    `Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "${cluster.namespace}"\n`,
  );
  await cluster.kubectl(["create", "role", "reader", "--verb=get,list", "--resource=pods"]);
  await cluster.kubectl(["create", "rolebinding", "readers", "--role=reader", "--group=developers"]);
  await eventually("the binding counts", () => cluster.kubectl(["get", "pods", ...asJane]));
  assert.equal(await cluster.kubectl(["auth", "can-i", "list", "pods", ...asJane]), "yes\n");
  assert.equal((await cluster.try(["auth", "can-i", "delete", "pods", ...asJane])).stdout, "no\n");
  assert.match(await cluster.kubectl(["auth", "can-i", "--list", ...asJane]), /^pods +\[\] +\[\] +\[get list\]$/m);
  const beyond = await cluster.try(["create", "role", "more", "--verb=delete", "--resource=pods", ...asJane]);
  assert.match(beyond.stderr, /User "jane" cannot create resource "roles" in API group "rbac\.authorization\.k8s\.io"/);
});

test("whoami answers for the administrator, an impersonated user and a token", limit, async () => {
  const { cluster } = context;
  assert.match(await cluster.kubectl(["auth", "whoami"]), /^Groups +\[.*system:authenticated\]$/m);
  const jane = await cluster.kubectl(["auth", "whoami", "--as=jane", "--as-group=developers"]);
  assert.match(jane, /^Username +jane\nGroups +\[developers system:authenticated\]$/m);
  await cluster.kubectl(["create", "serviceaccount", "robot"]);
  const token = (await cluster.kubectl(["create", "token", "robot", "--duration=20m"])).trim();
  const claims = JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString()) as Record<string, unknown>;
  assert.equal(claims["sub"], `system:serviceaccount:${cluster.namespace}:robot`);
  assert.equal(Number(claims["exp"]) - Number(claims["iat"]), 1200);
  // An empty kubeconfig keeps the administrator's certificate out of it.
  const server = await cluster.kubectl(["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"]);
  const bare = ["--kubeconfig=/dev/null", `--server=${server}`, "--insecure-skip-tls-verify", `--token=${token}`];
  const robot = await cluster.kubectl(["auth", "whoami", ...bare]);
  assert.match(robot, new RegExp(`^Username +system:serviceaccount:${cluster.namespace}:robot$`, "m"));
  const forged = await cluster.try(["get", "pods", ...bare.slice(0, 3), `--token=${token.slice(0, -8)}AAAAAAAA`]);
  assert.match(
    forged.stderr,
    /You must be logged in to the server \(Unauthorized\)|the server has asked for the client to provide credentials/,
  );
  const short = await cluster.try(["create", "token", "robot", "--duration=5m"]);
  assert.match(
    short.stderr,
    /spec\.expirationSeconds: Invalid value: 300: may not specify a duration less than 10 minutes/,
  );
});

test("a certificate request is approved and signed for the user it names", limit, async () => {
  const { cluster } = context;
  const script = `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout - -subj /O=developers/CN=carol 2>/dev/null`;
  const made = (await cluster.lab.run(cluster.lab.master, "sh", ["-c", script])).stdout;
  const pem = made.slice(made.indexOf("-----BEGIN CERTIFICATE REQUEST"));
  assert.equal(createPrivateKey(made.slice(0, made.indexOf("-----BEGIN CERTIFICATE REQUEST"))).asymmetricKeyType, "ec");
  await cluster.apply({
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name: request },
    spec: {
      request: Buffer.from(pem).toString("base64"),
      signerName: "kubernetes.io/kube-apiserver-client",
      usages: ["client auth"],
    },
  });
  assert.match(
    await cluster.kubectl(["get", "csr", request]),
    /kubernetes\.io\/kube-apiserver-client +\S+ +<none> +Pending\n$/,
  );
  assert.match(await cluster.kubectl(["certificate", "approve", request]), /csr-\w+ approved\n$/);
  await cluster.kubectl(["wait", "--for=jsonpath={.status.certificate}", `csr/${request}`, "--timeout=30s"]);
  assert.match(await cluster.kubectl(["get", "csr", request]), / Approved,Issued\n$/);
  const certificate = Buffer.from(
    await cluster.jsonpath(`csr/${request}`, "{.status.certificate}"),
    "base64",
  ).toString();
  const subject = await cluster.lab.run(cluster.lab.master, "openssl", ["x509", "-noout", "-subject"], {
    stdin: certificate,
  });
  assert.match(subject.stdout, /O ?= ?developers, ?CN ?= ?carol/);
});

test("a LimitRange fills in limits and refuses what is beyond its maximum", limit, async () => {
  const { cluster } = context;
  const limits = [
    { type: "Container", default: { memory: "512Mi" }, defaultRequest: { memory: "256Mi" }, max: { memory: "1Gi" } },
  ];
  const name = "mem-limit-range";
  await cluster.apply({ apiVersion: "v1", kind: "LimitRange", metadata: { name }, spec: { limits } });
  const resources = await eventually("the range counts", async () => {
    const { stdout } = await create(
      pod("limited"),
      "--dry-run=server",
      "-o",
      "jsonpath={.spec.containers[0].resources}",
    );
    return stdout === "{}" ? undefined : stdout;
  });
  assert.deepEqual(JSON.parse(resources), { limits: { memory: "512Mi" }, requests: { memory: "256Mi" } });
  assert.match(
    await cluster.kubectl(["describe", "limitrange", name]),
    /^Container +memory +- +1Gi +256Mi +512Mi +-$/m,
  );
  const greedy = await create(pod("greedy", { container: { resources: { limits: { memory: "2Gi" } } } }));
  assert.match(
    greedy.stderr,
    /pods "greedy" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi/,
  );
  await cluster.kubectl(["delete", "limitrange", name]);
});

test("a ResourceQuota counts, refuses what exceeds it, and lets go again", limit, async () => {
  const { cluster } = context;
  await cluster.kubectl(["create", "quota", "few", "--hard=count/secrets=1,services=1"]);
  await cluster.kubectl(["wait", "--for=jsonpath={.status.used.count/secrets}=0", "quota/few", "--timeout=20s"]);
  await cluster.kubectl(["create", "secret", "generic", "one"]);
  const second = await cluster.try(["create", "secret", "generic", "two"]);
  assert.match(
    second.stderr,
    /secrets "two" is forbidden: exceeded quota: few, requested: count\/secrets=1, used: count\/secrets=1, limited: count\/secrets=1/,
  );
  assert.match(await cluster.kubectl(["describe", "quota", "few"]), /^count\/secrets +1 +1$/m);
  await cluster.kubectl(["delete", "secret", "one"]);
  await eventually("there is room again", () => cluster.kubectl(["create", "secret", "generic", "two"]));
  await cluster.kubectl(["delete", "quota", "few"]);
});

test("the enforce label refuses what the Pod Security Standard forbids, the warn label warns", limit, async () => {
  const { cluster } = context;
  const label = (text: string) => cluster.kubectl(["label", "namespace", cluster.namespace, "--overwrite", text]);
  await label("pod-security.kubernetes.io/enforce=baseline");
  await label("pod-security.kubernetes.io/warn=restricted");
  const hostile = pod("hostile", { spec: { hostNetwork: true }, container: { securityContext: { privileged: true } } });
  const refused = await eventually("the label counts", async () => {
    const { exitCode, stderr } = await create(hostile, "--dry-run=server");
    return exitCode === 0 ? undefined : stderr;
  });
  assert.match(
    refused,
    /pods "hostile" is forbidden: violates PodSecurity "baseline:latest": host namespaces \(hostNetwork=true\), privileged \(container "main" must not set securityContext\.privileged=true\)/,
  );
  const warned = await create(pod("mild"), "--dry-run=server");
  assert.equal(warned.exitCode, 0);
  assert.match(
    warned.stderr,
    /^Warning: would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false \(container "main" must set/,
  );
  await label("pod-security.kubernetes.io/enforce-");
  await label("pod-security.kubernetes.io/warn-");
});
