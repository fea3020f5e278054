import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeConfig, CoreV1Api, makeInformer, type V1ConfigMap } from "@kubernetes/client-node";
import { startCompactor } from "#pkg/storage/index.ts";
import { FakeClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import { until } from "#pkg/util/testing/index.ts";
import { startTestServer, type TestServer } from "./testing/test-server.ts";

const MINUTE = 60_000;
/** Six hours, in steps that meet ends of watches (30 to 60 minutes), bookmarks and compactions (5 minutes). */
const STEPS = 90;
const STEP_MS = 4 * MINUTE;

function kubeConfigOf({ listener, ca }: TestServer): KubeConfig {
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    {
      name: "c",
      server: `https://127.0.0.1:${listener.port}`,
      caData: Buffer.from(ca.cert).toString("base64"),
      skipTLSVerify: false,
    },
    { name: "u" },
  );
  return config;
}

test("an informer of @kubernetes/client-node sees each change of six hours once", { timeout: 240_000 }, async (t) => {
  const clock = new FakeClock(Date.UTC(2026, 0, 1));
  const server = await startTestServer({ clock });
  const { store } = server.cacher;
  const stopCompactor = startCompactor({ store, clock, log: silentLogger });
  const config = kubeConfigOf(server);
  const api = config.makeApiClient(CoreV1Api);
  const namespace = "default";
  let lists = 0;
  const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, () => {
    lists++;
    return api.listNamespacedConfigMap({ namespace });
  });
  let ending = false;
  t.after(async () => {
    ending = true;
    await informer.stop();
    stopCompactor();
    let closed = false;
    void server.close().then(() => (closed = true));
    // The time it gives its clients to leave is the clock's, too.
    await until("the server has closed", async () => {
      await clock.advance(MINUTE);
      return closed;
    });
  });
  const seen: string[] = [];
  const text = (what: string) => (object: V1ConfigMap) => {
    seen.push(`${what} ${object.metadata!.name} ${object.data?.["i"] ?? ""}`);
  };
  informer.on("add", text("add"));
  informer.on("update", text("update"));
  informer.on("delete", text("delete"));
  // As its documentation says: an informer that failed is started again.
  informer.on("error", () => {
    if (!ending) void informer.start();
  });
  await informer.start();

  const random = new SeededRandom(3);
  const present = new Map<string, string>();
  let marks = 0;
  /** The informer is up to date, and watches: between two watches it may rightly see several changes as one. */
  const catchUp = async () => {
    const name = `mark-${marks++}`;
    await api.createNamespacedConfigMap({ namespace, body: { metadata: { name } } });
    await until(`${name} is seen`, () => seen.includes(`add ${name} `));
    await api.deleteNamespacedConfigMap({ namespace, name });
    await until(`${name} is gone`, () => seen.includes(`delete ${name} `));
  };
  for (let step = 0; step < STEPS; step++) {
    await clock.advance(STEP_MS);
    await catchUp();
    seen.length = 0;
    const expected: string[] = [];
    for (let i = 0; i < 4; i++) {
      const name = `c${random.int(5)}`;
      const value = `${step}.${i}`;
      const body = { metadata: { name }, data: { i: value } };
      const before = present.get(name);
      if (before === undefined) {
        await api.createNamespacedConfigMap({ namespace, body });
        expected.push(`add ${name} ${value}`);
      } else if (random.int(3) === 0) {
        await api.deleteNamespacedConfigMap({ namespace, name });
        expected.push(`delete ${name} ${before}`);
        present.delete(name);
        continue;
      } else {
        await api.replaceNamespacedConfigMap({ namespace, name, body });
        expected.push(`update ${name} ${value}`);
      }
      present.set(name, value);
    }
    await until(`step ${step} is seen whole`, () => seen.length >= expected.length);
    assert.deepEqual(seen, expected);
  }
  assert.ok(lists < STEPS, `it listed ${lists} times`);
});
