/** What kubectl does over a connection that stays open: its versions speak SPDY, WebSockets, and SPDY in WebSockets. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { eventually, installedKubectls, type TestCluster, useCluster } from "../framework/lab.ts";
import { NGINX, pod } from "../framework/manifests.ts";

const context = useCluster("sessions");
const limit = { timeout: 300_000 };

test("every kubectl runs commands, attaches to a container and forwards a port", limit, async (t) => {
  const kubectls = await installedKubectls();
  // Each ends the input of a container of its own by attaching to it.
  const readers = kubectls.map(({ minor }) =>
    pod(`reader-${minor}`, {
      command: ["cat"],
      container: { stdin: true, stdinOnce: true },
      spec: { restartPolicy: "Never" },
    }),
  );
  await context.cluster.apply([pod("web", { image: NGINX }), ...readers]);
  await context.cluster.ready("pod/web");
  for (const { path, minor } of kubectls)
    await t.test(`kubectl 1.${minor}`, () => useOne(context.cluster.withKubectl(path), `reader-${minor}`));
});

async function useOne(cluster: TestCluster, reader: string): Promise<void> {
  const script = "cat; echo no >&2; exit 7";
  const ended = await cluster.try(["exec", "-i", "web", "--", "sh", "-c", script], { stdin: "through\n" });
  assert.equal(ended.stdout, "through\n");
  // kubectl 1.30 may first complain of a message that came before it had opened the stream, of which nothing is lost.
  assert.match(ended.stderr, /^no\n/m);
  assert.equal(ended.exitCode, 7);

  await cluster.ready(`pod/${reader}`);
  assert.equal(await cluster.kubectl(["attach", "-i", reader], { stdin: "attached\n" }), "attached\n");

  const where = ["--kubeconfig", cluster.lab.adminConf, "--namespace", cluster.namespace];
  const forwarding = cluster.spawn(cluster.binary, [...where, "port-forward", "pod/web", ":80"]);
  const gone = once(forwarding, "exit");
  try {
    const address = await forwardedAddress(forwarding);
    // Each request is a pair of streams of its own.
    for (let request = 0; request < 3; request++)
      assert.match((await cluster.here("curl", ["-sSf", "-m", "30", `http://${address}`])).stdout, /Welcome to nginx/);
  } finally {
    forwarding.kill("SIGTERM");
    await gone;
  }
}

async function forwardedAddress({ stdout }: ChildProcess): Promise<string> {
  let text = "";
  stdout!.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return eventually("the port is announced", () =>
    Promise.resolve(/Forwarding from (127\.0\.0\.1:\d+) -> 80/.exec(text)?.[1]),
  );
}
