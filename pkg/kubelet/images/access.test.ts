import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ImageAccess } from "./access.ts";
import type { Credential } from "./credentials.ts";

const IMAGE = "registry:5000/team/app:1";
let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "image-access-"));
});
after(() => rm(root, { recursive: true, force: true }));

function credential(password: string, name: string): Credential {
  return { auth: { username: "user", password }, secret: { namespace: "ns", name, uid: `uid-${name}` } };
}
const here = (id: string) => ({ id, repoTags: [IMAGE], repoDigests: [] });
const ours = credential("a", "ours");

test("an image that nobody's credentials brought is for everybody", async () => {
  const access = new ImageAccess(join(root, "preloaded"));
  assert.equal(await access.allows(IMAGE, here("sha256:1"), []), true);
  await access.settle(IMAGE, { id: "sha256:1", credential: undefined });
  assert.equal(await access.allows(IMAGE, here("sha256:1"), []), true);
});

test("one that was pulled with credentials is for pods that have them, or the same Secret, also after a restart", async () => {
  const directory = join(root, "private");
  const access = new ImageAccess(directory);
  await access.announce(IMAGE);
  assert.equal(await access.allows(IMAGE, here("sha256:1"), [ours]), false, "nobody knows yet how the pull will end");
  await access.settle(IMAGE, { id: "sha256:1", credential: ours });
  const later = new ImageAccess(directory);
  const allowed = (...credentials: Credential[]) => later.allows(IMAGE, here("sha256:1"), credentials);
  assert.equal(await allowed(ours), true);
  assert.equal(await allowed(credential("a", "copy")), true);
  assert.equal(await allowed(credential("rotated", "ours")), true);
  assert.equal(await allowed(credential("b", "theirs")), false);
  assert.equal(await allowed(), false);
  const twice = { ...here("sha256:1"), repoTags: [IMAGE, "docker.io/library/app:1"] };
  assert.equal(await later.allows("app:1", twice, []), true, "the same from elsewhere");
  assert.equal(await later.allows("sha256:1", twice, []), false, "by its id alone");
  await Promise.all(
    ["b", "c"].map((name) => later.settle(IMAGE, { id: "sha256:1", credential: credential(name, name) })),
  );
  assert.deepEqual([await allowed(credential("b", "b")), await allowed(credential("c", "c"))], [true, true]);
  await later.settle(IMAGE, { id: "sha256:1", credential: undefined });
  assert.equal(await allowed(), true, "it can be had without any");
});

test("records go with their images", async () => {
  const directory = join(root, "pruned");
  const access = new ImageAccess(directory);
  await access.prune(new Set());
  for (const id of ["sha256:1", "sha256:2"]) await access.settle(IMAGE, { id, credential: ours });
  await access.prune(new Set(["sha256:2"]));
  assert.equal((await readdir(join(directory, "pulled"))).length, 1);
  assert.equal(await access.allows(IMAGE, here("sha256:2"), []), false);
});
