import assert from "node:assert/strict";
import { test } from "node:test";
import type { Secret } from "#pkg/api/types/core-v1.ts";
import type { Image } from "../cri/runtime.ts";
import { credentialsFor } from "./credentials.ts";
import { removableImages } from "./gc.ts";
import { referenceProblem, registryOf, withDefaultTag } from "./reference.ts";

test("references: how they are completed, and what is wrong with others", () => {
  assert.deepEqual(
    ["Nginx:1", "docker.io/Nginx", "ghcr.io/Team/x", "BAD:::x", "Team/x", "a b", "nginx:", "0a".repeat(32)].map(
      referenceProblem,
    ),
    [
      "invalid reference format: repository name (library/Nginx) must be lowercase",
      "invalid reference format: repository name (library/Nginx) must be lowercase",
      "invalid reference format: repository name (Team/x) must be lowercase",
      "invalid reference format: repository name (library/BAD) must be lowercase",
      "invalid reference format",
      "invalid reference format",
      "invalid reference format",
      `invalid repository name (${"0a".repeat(32)}), cannot specify 64-byte hexadecimal strings`,
    ],
  );
  assert.deepEqual(["nginx", "nginx:1", "r:5000/nginx", "a@sha256:0"].map(withDefaultTag), [
    "nginx:latest",
    "nginx:1",
    "r:5000/nginx:latest",
    "a@sha256:0",
  ]);
  assert.deepEqual(["nginx", "r:5000/x", "ghcr.io/x/y", "team/x"].map(registryOf), [
    "index.docker.io",
    "r:5000",
    "ghcr.io",
    "index.docker.io",
  ]);
});

function secret(auths: object): Secret {
  return {
    metadata: { name: "s", uid: "", resourceVersion: "1", creationTimestamp: "" },
    data: { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") },
  };
}
test("credentials: by host, wildcard and longest path; unreadable secrets are reported", () => {
  const auth = Buffer.from("user:pa:ss").toString("base64");
  const secrets = [
    secret({
      "https://index.docker.io/v1/": { auth },
      "ghcr.io": { username: "wide", password: "x" },
      "ghcr.io/team": { username: "narrow", password: "y" },
      "*.example.com": { username: "star" },
    }),
  ];
  const bad: unknown[] = [];
  const users = (image: string) =>
    credentialsFor(image, [...secrets, { ...secrets[0]!, data: { ".dockerconfigjson": "e3s=" } }], (_secret, error) =>
      bad.push(error),
    ).map(({ auth: { username } }) => username);
  assert.deepEqual(users("nginx"), ["user"]);
  assert.equal(bad.length, 1);
  assert.deepEqual(users("ghcr.io/team/app"), ["narrow", "wide"]);
  assert.deepEqual(users("ghcr.io/other"), ["wide"]);
  assert.deepEqual(users("r.example.com/x"), ["star"]);
  const [team] = credentialsFor("team/x", [secret({ "docker.io/team": { auth } })], () => undefined);
  assert.equal(team?.auth.username, "user");
  assert.deepEqual(users("a.r.example.com/x"), []);
  assert.equal(credentialsFor("nginx", secrets, () => undefined)[0]?.auth.password, "pa:ss");
});

test("image collection takes what is unused, oldest use first, and leaves the pause image", () => {
  const image = (id: string, more: Partial<Image> = {}): Image => ({
    id,
    repoTags: [`repo/${id}:1`],
    repoDigests: [],
    sizeBytes: 1,
    username: "",
    pinned: false,
    ...more,
  });
  const images = [
    image("used"),
    image("old"),
    image("older"),
    image("young"),
    image("pinned", { pinned: true }),
    image("p", { repoTags: ["registry.k8s.io/pause:3.10"] }),
  ];
  const removable = removableImages({
    images,
    inUse: new Set(["repo/used:1"]),
    lastUsed: new Map([["old", 500]]),
    firstSeen: new Map(images.map(({ id }) => [id, id === "young" ? 990 : 0])),
    now: 1000,
    minimumAgeMs: 100,
  });
  assert.deepEqual(
    removable.map(({ id }) => id),
    ["older", "old"],
  );
});
