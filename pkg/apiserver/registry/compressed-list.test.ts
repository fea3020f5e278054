/** Lists that are compressed in runs say what plain ones say, whatever has changed in between. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import { SeededRandom } from "#pkg/util/index.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import { gzipList, type ListForm } from "./compressed-list.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.close());

const maps = "/api/v1/namespaces/default/configmaps";
const PROTOBUF = "application/vnd.kubernetes.protobuf";

async function sameWithGzip(query: string, accept = "application/json"): Promise<Buffer> {
  const plain = await server.request(`${maps}?${query}`, { headers: { accept } });
  const packed = await server.request(`${maps}?${query}`, { headers: { accept, "accept-encoding": "gzip" } });
  assert.equal(plain.headers["content-encoding"], undefined);
  assert.equal(packed.headers["content-encoding"], "gzip");
  assert.equal(packed.headers["vary"], "Accept-Encoding");
  assert.ok(gunzipSync(packed.bytes).equals(plain.bytes), `${accept} ${query}`);
  return plain.bytes;
}

test("a compressed list is the plain one, while objects come, change and go", async () => {
  const random = new SeededRandom(7);
  const filler = "x".repeat(3000);
  for (let i = 0; i < 150; i++)
    await server.request(maps, { body: { metadata: { name: `map-${i}` }, data: { filler } } });
  for (let round = 0; round < 6; round++) {
    await sameWithGzip("");
    await sameWithGzip("", PROTOBUF);
    await sameWithGzip("", "application/yaml");
    await sameWithGzip("fieldSelector=metadata.name!%3Dmap-3");
    const page = JSON.parse((await sameWithGzip("limit=70")).toString()) as { metadata: { continue: string } };
    await sameWithGzip(`limit=70&continue=${page.metadata.continue}`);
    for (let i = 0; i < 5; i++) {
      const name = `map-${random.int(150)}`;
      await server.request(`${maps}/${name}`, { method: "DELETE" });
      if (random.int(2) === 0)
        await server.request(maps, { body: { metadata: { name }, data: { filler, round: `${round}` } } });
    }
  }
});

test("only what has changed is compressed again", async () => {
  const appended: string[] = [];
  const form: ListForm = {
    name: "test",
    head: () => Buffer.from("["),
    append(chunks, { key, revision }, first) {
      appended.push(key);
      chunks.push(Buffer.from(`${first ? "" : ","}"${key}@${revision}"`));
    },
    separator: Buffer.from(","),
    tail: Buffer.from("]"),
  };
  const entries = Array.from({ length: 500 }, (_, i) => entryOf(`/registry/things/${String(i).padStart(3, "0")}`, 1));
  await gzipList(form, entries, false);
  assert.equal(appended.splice(0).length, 500);
  await gzipList(form, entries, false);
  assert.deepEqual(appended.splice(0), []);
  // One more, one less, one changed: each touches its own run, wherever the list begins.
  const changed = entries.toSpliced(100, 1).toSpliced(200, 0, entryOf("/registry/things/200a", 2));
  changed[300] = entryOf(changed[300]!.key, 3);
  await gzipList(form, changed, false);
  const again = appended.splice(0);
  assert.ok(again.length > 3 && again.length <= 3 * 64, `${again.length} items`);
  // A page that ends within a run does not take the place of that run.
  await gzipList(form, changed.slice(0, 250), true);
  appended.splice(0);
  await gzipList(form, changed, false);
  assert.deepEqual(appended, []);
});

function entryOf(key: string, revision: number): CacheEntry {
  const variants = new Map<string, unknown>();
  const entry: CacheEntry = {
    key,
    namespace: "",
    name: key.slice(key.lastIndexOf("/") + 1),
    revision,
    object: { metadata: {} },
    json: Buffer.alloc(0),
    leanJson: [],
    metadataJson: Buffer.alloc(0),
    variant<T>(variant: string, make: (of: CacheEntry) => T): T {
      if (!variants.has(variant)) variants.set(variant, make(entry));
      return variants.get(variant) as T;
    },
  };
  return entry;
}
