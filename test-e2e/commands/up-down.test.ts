import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { SpawnRunner } from "#pkg/util/index.ts";

const root = join(import.meta.dirname, "../..");
const runner = new SpawnRunner();
const dataDir = join(mkdtempSync(join(tmpdir(), "kubits-up-")), "data");

const command = (name: string, ...args: string[]) =>
  runner.run(join(root, "hack", name), args, { timeoutMs: 300_000, allowFailure: true });

after(async () => {
  await command("down", "--purge", `--data-dir=${dataDir}`);
  rmSync(join(dataDir, ".."), { recursive: true, force: true });
});

/** What a purge must bring back: interfaces, mounts and rules as they were. */
async function fingerprint(): Promise<Record<string, string[]>> {
  const lines = (text: string) => text.split("\n").filter((line) => line !== "");
  const rules = async (tool: string) =>
    lines((await runner.run(tool, [])).stdout).filter((line) => line.startsWith("-A") || line.startsWith(":KUB"));
  const links = JSON.parse((await runner.run("ip", ["-json", "link"])).stdout) as Array<{ ifname: string }>;
  return {
    links: links.map(({ ifname }) => ifname).sort(),
    mounts: lines(readFileSync("/proc/self/mounts", "utf8"))
      .map((line) => line.split(" ").slice(0, 3).join(" "))
      .sort(),
    iptables: await rules("iptables-save"),
    ip6tables: await rules("ip6tables-save"),
    namespaces: existsSync("/run/netns") ? readdirSync("/run/netns").sort() : [],
  };
}

test("hack/up refuses with one sentence when port 6443 is taken", { timeout: 120_000 }, async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(6443, "127.0.0.1", resolve));
  try {
    const { exitCode, stderr } = await command("up", "--no-demo", `--data-dir=${dataDir}`);
    assert.equal(exitCode, 1);
    assert.match(stderr, /^hack\/up: port 6443 is taken by another program; stop it .*\n$/);
    assert.equal(existsSync(dataDir), false, "nothing half done");
  } finally {
    server.close();
  }
});

test("hack/up and hack/down refuse without root and with bad options", { timeout: 60_000 }, async () => {
  const asNobody = await runner.run(
    "setpriv",
    ["--reuid=65534", "--regid=65534", "--clear-groups", join(root, "hack/up")],
    { allowFailure: true },
  );
  assert.notEqual(asNobody.exitCode, 0);
  assert.match(asNobody.stderr, /needs root|Permission denied/);
  assert.match((await command("up", "--frobnicate")).stderr, /unknown option: --frobnicate/);
  assert.match((await command("up", "--data-dir=relative")).stderr, /absolute path/);
  assert.match((await command("down", "--purge", "--data-dir=/tmp")).stderr, /was not made by hack\/up/);
});

test(
  "hack/up runs the demo, can be repeated, and hack/down --purge leaves nothing",
  { timeout: 420_000 },
  async (t) => {
    const before = await fingerprint();

    await t.test("up: nginx answers on its node port and on its pod address", async () => {
      const { exitCode, stdout, stderr } = await command("up", `--data-dir=${dataDir}`);
      assert.equal(exitCode, 0, stderr + stdout);
      assert.equal(stdout.match(/Welcome to nginx!<\/title>/g)?.length, 2, stdout);
      assert.match(stdout, /curl http:\/\/[\d.]+:30390/);
      assert.match(stdout, /curl http:\/\/10\.244\.\d+\.\d+:80/);
    });

    await t.test("up again with a second node: what runs stays, and both answer", async () => {
      const kubeconfig = join(dataDir, "kubernetes/admin.conf");
      const uid = async () =>
        (
          await runner.run("kubectl", [
            "--kubeconfig",
            kubeconfig,
            "get",
            "pod",
            "nginx-demo",
            "-o",
            "jsonpath={.metadata.uid} {.status.containerStatuses[0].containerID}",
          ])
        ).stdout;
      const first = await uid();
      const { exitCode, stdout, stderr } = await command("up", `--data-dir=${dataDir}`, "--nodes", "2");
      assert.equal(exitCode, 0, stderr + stdout);
      assert.equal(await uid(), first);
      const path = '{.items[*].status.addresses[?(@.type=="InternalIP")].address}';
      const nodes = ["--kubeconfig", kubeconfig, "get", "nodes", "-o", `jsonpath=${path}`];
      const addresses = (await runner.run("kubectl", nodes)).stdout.split(" ");
      assert.equal(addresses.length, 2);
      for (const address of addresses) {
        // The new node's proxy may need a moment after the node is Ready.
        const retry = ["--retry", "20", "--retry-delay", "1", "--retry-all-errors"];
        const answer = await runner.run("curl", ["-sf", "-m", "5", ...retry, `http://${address}:30390`]);
        assert.match(answer.stdout, /Welcome to nginx/);
      }
    });

    await t.test("down and up: the same pod, the same container", async () => {
      assert.equal((await command("down", `--data-dir=${dataDir}`)).exitCode, 0);
      const { exitCode, stdout, stderr } = await command("up", `--data-dir=${dataDir}`);
      assert.equal(exitCode, 0, stderr + stdout);
    });

    await t.test("down --purge: no trace", async () => {
      const { exitCode, stderr, stdout } = await command("down", "--purge", `--data-dir=${dataDir}`);
      assert.equal(exitCode, 0, stderr + stdout);
      // Only what is there now and was not before counts: others may work on this machine meanwhile.
      for (const [what, lines] of Object.entries(await fingerprint())) {
        const left = lines.filter((line) => !before[what]!.includes(line));
        assert.deepEqual(left, [], `${what} left behind`);
      }
      assert.equal(existsSync(dataDir), false);
    });
  },
);
