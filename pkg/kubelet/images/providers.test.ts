import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FakeClock, SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import { loadProviders, parseProviders } from "./providers.ts";

const signal = AbortSignal.timeout(30_000);
let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "kubelet-providers-"));
});
after(() => rm(directory, { recursive: true }));

const configOf = (providers: readonly object[]) =>
  JSON.stringify({ apiVersion: "kubelet.config.k8s.io/v1", kind: "CredentialProviderConfig", providers });
const provider = {
  name: "login",
  matchImages: ["*.example.com/team", "plain.example.org"],
  defaultCacheDuration: "1h",
  apiVersion: "credentialprovider.kubelet.k8s.io/v1",
  args: ["--for", "a b"],
  env: [{ name: "ANSWER", value: "yes" }],
};

/** Notes what it is asked, and answers with what its file holds. */
const SCRIPT = `#!/bin/sh
here=$(dirname "$0")
{ cat; echo " $1 [$2] $ANSWER"; } >> "$here/asked"
cat "$here/answer"
`;

test("a provider is asked for images that match, by its protocol, and not again while its answer holds", async () => {
  await writeFile(join(directory, "login"), SCRIPT);
  await chmod(join(directory, "login"), 0o755);
  const answer = (more: object) =>
    writeFile(
      join(directory, "answer"),
      JSON.stringify({
        apiVersion: "credentialprovider.kubelet.k8s.io/v1",
        kind: "CredentialProviderResponse",
        cacheKeyType: "Registry",
        auth: {
          "r.example.com": { username: "u", password: "p" },
          "other.example.com": { username: "x", password: "y" },
        },
        ...more,
      }),
    );
  await answer({ cacheDuration: "10m" });
  const path = join(directory, "config.yaml");
  await writeFile(path, configOf([provider]));
  const clock = new FakeClock();
  const deps = { commands: new SpawnRunner(), clock, log: silentLogger, binDir: directory };
  const providers = await loadProviders(path, deps);
  const asked = async () => (await readFile(join(directory, "asked"), "utf8").catch(() => "")).trim().split("\n");

  assert.deepEqual(await providers.credentialsFor("r.example.com/elsewhere/app:1", signal), []);
  assert.deepEqual(await asked(), [""]);
  const first = await providers.credentialsFor("r.example.com/team/app:1", signal);
  assert.deepEqual(first, [{ auth: { username: "u", password: "p" } }]);
  assert.deepEqual(await providers.credentialsFor("r.example.com/team/second:1", signal), first, "the same registry");
  assert.deepEqual(await asked(), [
    '{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"r.example.com/team/app:1"} --for [a b] yes',
  ]);
  await clock.advance(10 * 60_000);
  await answer({ kind: "Nonsense" });
  assert.deepEqual(
    await providers.credentialsFor("r.example.com/team/app:1", signal),
    [],
    "a bad answer is passed over",
  );
  await answer({ cacheKeyType: "Image" });
  assert.equal((await providers.credentialsFor("r.example.com/team/app:1", signal)).length, 1);
  assert.equal((await asked()).length, 3, "a bad answer is not kept");
});

for (const [what, change, why] of [
  ["a name that is a path", { name: "../sh" }, /the name is no file's name/],
  ["no images", { matchImages: [] }, /matchImages is required/],
  ["an old protocol", { apiVersion: "credentialprovider.kubelet.k8s.io/v1alpha1" }, /apiVersion must be/],
  ["no duration", { defaultCacheDuration: "soon" }, /defaultCacheDuration is required/],
] as const)
  test(`a configuration with ${what} is refused`, () =>
    assert.throws(() => parseProviders(configOf([{ ...provider, ...change }])), why));

test("without a configuration there is none", async () => {
  const deps = { commands: new SpawnRunner(), clock: new FakeClock(), log: silentLogger, binDir: "" };
  assert.deepEqual(await (await loadProviders("", deps)).credentialsFor("any", signal), []);
});
