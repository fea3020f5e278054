import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { masterArguments, program } from "../../hack/lib/cluster.ts";
import { Daemons } from "../../hack/lib/daemons.ts";
import { layoutOf } from "../../hack/lib/layout.ts";
import { eventually, useCluster } from "../framework/lab.ts";

const context = useCluster("leader");
const ETCD = "127.0.0.1:22379";
const TAKEOVER_MS = 15_000;
/** Records what the controllers write, and who else is none of our business. */
const AUDIT_POLICY = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts:kube-system"]
    verbs: [create, update, patch, delete, deletecollection]
    resources: [{ group: "" , resources: [pods] }, { group: apps }]
  - level: None
`;

interface Write {
  readonly verb: string;
  readonly requestReceivedTimestamp: string;
  readonly objectRef: { readonly resource: string; readonly name?: string; readonly subresource?: string };
  readonly responseStatus?: { readonly code?: number };
}

/** What the controllers of one master have written, from its audit log. A killed master may leave half a line. */
function writesIn(auditLog: string): Write[] {
  const lines = readFileSync(auditLog, "utf8").split("\n").slice(0, -1);
  return lines
    .map((line) => JSON.parse(line) as Write)
    .filter(({ responseStatus }) => (responseStatus?.code ?? 500) < 300);
}
const isNewPod = ({ verb, objectRef }: Write) =>
  verb === "create" && objectRef.resource === "pods" && objectRef.subresource === undefined;

test(
  "when the leading master is killed, another one's loops go on within 15 seconds",
  { timeout: 180_000 },
  async (t) => {
    const lab = context.cluster.programs;
    const { enter } = lab.nodes.at(-1)!;
    const dir = mkdtempSync(join(tmpdir(), "kubits-ha-"));
    const layout = layoutOf(dir);
    const daemons = new Daemons({ runDir: join(dir, "run"), logDir: join(dir, "log") });
    t.after(async () => {
      for (const name of ["master-1", "master-2", "etcd"]) await daemons.stop(name, 5000);
      rmSync(dir, { recursive: true, force: true });
    });
    daemons.start("etcd", [
      ...enter,
      "etcd",
      `--data-dir=${join(dir, "etcd")}`,
      `--listen-client-urls=http://${ETCD}`,
      `--advertise-client-urls=http://${ETCD}`,
      "--listen-peer-urls=http://127.0.0.1:22380",
      "--unsafe-no-fsync",
    ]);
    const kubectl = async (...args: string[]) =>
      (await lab.run(lab.nodes.at(-1)!, "kubectl", ["--kubeconfig", layout.adminConf, ...args])).stdout;
    const auditLog = (name: string) => join(dir, `${name}-audit.log`);
    const policy = join(dir, "audit-policy.yaml");
    writeFileSync(policy, AUDIT_POLICY);
    const startMaster = async (name: string, port: number) => {
      const address = lab.nodes.at(-1)!.address;
      const audit = [`--audit-policy-file=${policy}`, `--audit-log-path=${auditLog(name)}`];
      const extraArgs = [`--etcd-servers=http://${ETCD}`, ...audit];
      daemons.start(name, [
        ...enter,
        ...program("kubits-master"),
        ...masterArguments(layout, { address, port, extraArgs }),
      ]);
      await eventually(
        `${name} is ready`,
        () => kubectl("--server", `https://${address}:${port}`, "get", "--raw", "/readyz"),
        60_000,
      );
    };
    await startMaster("master-1", 16443);
    await eventually("the first master leads", () =>
      kubectl("-n", "kube-system", "get", "lease", "kube-controller-manager"),
    );
    await startMaster("master-2", 16444);
    const second = ["--server", `https://${lab.nodes.at(-1)!.address}:16444`];
    const replicas = async (name: string) => {
      const pods = await kubectl(...second, "get", "pods", "-l", `app=${name}`, "-o", "name");
      return pods.trim().split("\n").length;
    };
    const pods = (name: string) => async () => ((await replicas(name)) === 3 ? true : undefined);
    await kubectl(...second, "create", "deployment", "before", "--image=nginx:1.14.2", "--replicas=3");
    await eventually("the leader works", pods("before"));
    const newPods = (name: string) => writesIn(auditLog(name)).filter(isNewPod).length;
    await eventually("its log says so", async () => (newPods("master-1") >= 3 ? true : undefined));

    daemons.kill("master-1", "SIGKILL");
    const killed = performance.now();
    await kubectl(...second, "create", "deployment", "after", "--image=nginx:1.14.2", "--replicas=3");
    await eventually("the next leader works", pods("after"), TAKEOVER_MS + 15_000);
    const took = performance.now() - killed;
    t.diagnostic(`taken over after ${Math.round(took)} ms`);
    const lease = await kubectl(
      ...second,
      "-n",
      "kube-system",
      "get",
      "lease",
      "kube-controller-manager",
      "-o",
      "jsonpath={.spec.acquireTime} {.spec.leaseTransitions}",
    );
    assert.match(lease, / 1$/, "one change of leadership");
    assert.equal(await replicas("before"), 3, "what the first leader made is still there");
    await eventually("the second one's log says so", async () => (newPods("master-2") >= 3 ? true : undefined));
    const [first, next] = [writesIn(auditLog("master-1")), writesIn(auditLog("master-2"))];
    assert.equal(first.filter(isNewPod).length, 3, "the first leader made its pods once");
    assert.equal(next.filter(isNewPod).length, 3, "the second made those of the second deployment, and none again");
    const early = next.filter(({ requestReceivedTimestamp }) => requestReceivedTimestamp < lease.split(" ")[0]!);
    assert.deepEqual(early, [], "whoever does not lead writes nothing");
    assert.deepEqual(
      [...first, ...next].filter(({ verb }) => verb.startsWith("delete")),
      [],
      "nothing was made that had to go",
    );
    // A loaded machine is slow to list and to start three pods; the lease itself must have changed hands in time.
    const acquired = Date.parse(lease.split(" ")[0]!) - (Date.now() - (performance.now() - killed));
    assert.ok(acquired <= TAKEOVER_MS, `the lease was taken after ${acquired} ms`);
  },
);
