/** What lists and watches promise together, while several clients write at random. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { SeededRandom } from "#pkg/util/index.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.close());

const maps = "/api/v1/namespaces/default/configmaps";
const SELECTORS = ["", "labelSelector=color%3Dred", "labelSelector=color%21%3Dred", "fieldSelector=metadata.name%3Dm3"];
const COLORS = ["red", "blue"];

interface List {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items: readonly KubeObject[];
}
async function list(query: string): Promise<List> {
  const { json, status, text } = await server.request(`${maps}?${query}`);
  assert.equal(status, 200, text);
  return json as unknown as List;
}
const versions = (objects: Iterable<KubeObject>) =>
  [...objects].map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`).sort();

/** One client that creates, relabels and deletes a dozen objects at random. */
async function write(random: SeededRandom, rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    const name = `m${random.int(12)}`;
    const color = COLORS[random.int(COLORS.length)]!;
    const act = random.int(3);
    if (act === 0) await server.request(`${maps}/${name}`, { method: "DELETE" });
    else if (act === 1) await server.request(maps, { body: { metadata: { name, labels: { color } } } });
    else {
      const headers = { "content-type": "application/merge-patch+json" };
      const body = { metadata: { labels: { color } }, data: { i: String(i) } };
      await server.request(`${maps}/${name}`, { method: "PATCH", headers, body });
    }
  }
}

/** Lists, watches from there, and checks every event against what it knows; answers what is there at the end. */
async function follow(selector: string, initialEvents: boolean): Promise<string[]> {
  const known = new Map<string, KubeObject>();
  let from = "";
  if (!initialEvents) {
    const { metadata, items } = await list(selector);
    for (const item of items) known.set(item.metadata.name!, item);
    from = `resourceVersion=${metadata.resourceVersion}`;
  } else from = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
  const watch = await server.watch(`${maps}?watch=1&allowWatchBookmarks=true&${from}&${selector}`);
  let last = 0;
  let synced = !initialEvents;
  for (;;) {
    const { type, object } = await watch.next();
    const { name = "", resourceVersion } = object.metadata;
    const revision = Number(resourceVersion);
    if (type === "BOOKMARK") {
      synced ||= object.metadata.annotations?.["k8s.io/initial-events-end"] === "true";
      assert.ok(revision >= last);
      continue;
    }
    // The initial state comes in the order of names.
    if (synced) assert.ok(revision > last, `${type} ${name} at ${revision} after ${last}`);
    last = Math.max(last, revision);
    assert.equal(known.has(name), type !== "ADDED", `${type} ${name}`);
    if (type === "DELETED") known.delete(name);
    else known.set(name, object);
    if (type === "DELETED" && name === "m3" && object.metadata.annotations?.["end"] === "true") break;
  }
  watch.close();
  return versions(known.values());
}

/** Reads all pages and compares them with the whole list of the same moment. */
async function paginate(selector: string, random: SeededRandom): Promise<void> {
  const limit = 1 + random.int(4);
  const first = await list(`limit=${limit}&${selector}`);
  const found = [...first.items];
  const { resourceVersion } = first.metadata;
  for (let page = first; (page.metadata.continue ?? "") !== "";) {
    assert.equal(page.items.length, limit);
    page = await list(`limit=${limit}&continue=${encodeURIComponent(page.metadata.continue!)}&${selector}`);
    assert.equal(page.metadata.resourceVersion, resourceVersion);
    found.push(...page.items);
  }
  const whole = await list(`resourceVersion=${resourceVersion}&resourceVersionMatch=Exact&${selector}`);
  assert.deepEqual(versions(found), versions(whole.items));
  if (selector === "" && first.metadata.remainingItemCount !== undefined)
    assert.equal(first.metadata.remainingItemCount, whole.items.length - limit);
}

test(
  "a list and the events after it are the next list, whoever watches, wherever it began",
  { timeout: 120_000 },
  async () => {
    const random = new SeededRandom(11);
    const writers = Array.from({ length: 4 }, (_, seed) => write(new SeededRandom(seed), 120));
    const followers: Promise<[string, string[]]>[] = [];
    for (let i = 0; i < 24; i++) {
      const selector = SELECTORS[i % SELECTORS.length]!;
      followers.push(follow(selector, i % 3 === 0).then((state) => [selector, state]));
      await paginate(SELECTORS[random.int(3)]!, random);
    }
    await Promise.all(writers);
    // The end that every selector sees: an object that enters all of them, and leaves.
    await server.request(`${maps}/m3`, { method: "DELETE" });
    for (const color of COLORS) {
      const metadata = { name: "m3", labels: { color }, annotations: { end: "true" } };
      assert.equal((await server.request(maps, { body: { metadata } })).status, 201);
      assert.equal((await server.request(`${maps}/m3`, { method: "DELETE" })).status, 200);
    }
    const final = new Map<string, string[]>();
    for (const selector of SELECTORS) final.set(selector, versions((await list(selector)).items));
    assert.ok(final.get("")!.length > 0);
    for (const [selector, state] of await Promise.all(followers))
      assert.deepEqual(state, final.get(selector), selector);
  },
);
