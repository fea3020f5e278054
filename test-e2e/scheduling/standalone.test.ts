import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { program } from "../../hack/lib/cluster.ts";
import { Daemons } from "../../hack/lib/daemons.ts";
import { leases, nodes, pods, serviceAccounts } from "#pkg/api/refs.ts";
import { type Client, createClient, http2Transport, loadKubeconfig } from "#pkg/client/index.ts";
import { RealClock } from "#pkg/util/index.ts";
import { eventually } from "../framework/lab.ts";
import { TestMaster, freePort } from "../framework/master.ts";

const master = new TestMaster();
const daemons = new Daemons({ runDir: join(master.folder, "run-2"), logDir: join(master.folder, "log-2") });
const [file = "", ...flags] = program("kubits-master");
const command = async (...args: string[]) => (await promisify(execFile)(file, [...flags, ...args])).stdout;

let admin: Client;
let scheduler: Client;
let stranger: Client;
const open: { close(): void }[] = [];

async function clientOf(kubeconfig: string, server?: { url: string; ca: string }): Promise<Client> {
  const { cert, key, ...config } = await loadKubeconfig(kubeconfig);
  const where = server === undefined ? config : { server: server.url, ca: server.ca };
  const transport = http2Transport({ ...where, cert, key, clock: new RealClock() });
  open.push(transport);
  return createClient(transport, { userAgent: "test" });
}
async function kubeconfigFor(user: string): Promise<string> {
  const out = join(master.folder, `${user.replaceAll(":", "-")}.conf`);
  const server = `https://127.0.0.1:${master.port}`;
  await command("kubeconfig", `--cert-dir=${master.pkiDir}`, `--user=${user}`, `--server=${server}`, `--out=${out}`);
  return out;
}

before(async () => {
  await master.start();
  const port = await freePort();
  daemons.start("scheduler", [
    file,
    ...flags,
    "--components=scheduler",
    `--kubeconfig=${await kubeconfigFor("system:kube-scheduler")}`,
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    `--scheduler-secure-port=${port}`,
  ]);
  admin = await clientOf(master.adminConf);
  const served = await eventually("the leading scheduler says where it is", async () => {
    const lease = await admin.get(leases, { namespace: "kube-system", name: "kube-scheduler" });
    const { "kubits.io/scheduler-url": url, "kubits.io/scheduler-ca": ca } = lease.metadata.annotations ?? {};
    return url === undefined || ca === undefined ? undefined : { url, ca };
  });
  scheduler = await clientOf(master.adminConf, served);
  stranger = await clientOf(await kubeconfigFor("nobody"), served);
});
after(async () => {
  for (const transport of open) transport.close();
  await daemons.stop("scheduler");
  await master.stop();
});

test(
  "a scheduler without an API server beside it binds pods and says why it does not",
  { timeout: 120_000 },
  async () => {
    const resources = { cpu: "4", memory: "8Gi", pods: "110" };
    await admin.create(nodes, { metadata: { name: "n1", labels: { disk: "slow" } }, spec: {} });
    const name = { namespace: "", name: "n1" };
    const status = { capacity: resources, allocatable: resources };
    await admin.patch(nodes, name, "merge", { status }, { subresource: "status" });
    await admin.patch(nodes, name, "merge", { spec: { taints: null } });
    const add = (pod: string, nodeSelector: Record<string, string>) =>
      admin.create(pods, {
        metadata: { namespace: "default", name: pod },
        spec: { containers: [{ name: "c", image: "x" }], nodeSelector },
      });
    // No controller makes it here.
    await admin.create(serviceAccounts, { metadata: { namespace: "default", name: "default" } });
    await add("fits", { disk: "slow" });
    await add("waits", { disk: "fast" });
    await eventually("it is bound", async () => {
      const { spec } = await admin.get(pods, { namespace: "default", name: "fits" });
      return spec.nodeName;
    });
    const text = await eventually("it explains", async () => {
      const answer = await command("explain-scheduling", "default/waits", `--admin-kubeconfig=${master.adminConf}`);
      return answer.includes("NodeAffinity") ? answer : undefined;
    });
    assert.match(text, /Waiting:\s+in the queue "unschedulable"/);
    assert.match(text, /n1\s+NodeAffinity\s+node\(s\) didn't match Pod's node affinity\/selector/);
  },
);

test("its server answers who may ask", { timeout: 60_000 }, async () => {
  for (const path of ["/healthz", "/livez", "/readyz"]) assert.equal(await stranger.raw("GET", path), "ok");
  for (const path of ["/metrics", "/configz", "/debug/scheduling/default/fits"]) {
    await assert.rejects(stranger.raw("GET", path), {
      code: 403,
      message: `forbidden: User "nobody" cannot get path "${path}"`,
    });
  }
  const metrics = await eventually("what it did is counted", async () => {
    const text = await scheduler.raw<string>("GET", "/metrics");
    const isCounted = text.includes(
      'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 1',
    );
    return isCounted ? text : undefined;
  });
  for (const line of [
    'scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 1',
    'scheduler_pending_pods{queue="unschedulable"} 1',
    'scheduler_unschedulable_pods{plugin="NodeAffinity",profile="default-scheduler"} 1',
    'scheduler_queue_incoming_pods_total{queue="active",event="PodAdd"} 2',
    'scheduler_cache_size{type="nodes"} 1',
    "process_cpu_seconds_total",
    'leader_election_master_status{name="kube-scheduler"} 1',
    `rest_client_requests_total{code="200",host="127.0.0.1:${master.port}",method="GET"} `,
    "kubernetes_build_info{",
  ])
    assert.ok(metrics.includes(line), `${line} in\n${metrics}`);
  const { componentconfig } = await scheduler.raw<{ componentconfig: { kind: string } }>("GET", "/configz");
  assert.equal(componentconfig.kind, "KubeSchedulerConfiguration");
});
