import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { renderKubeconfig } from "#pkg/pki/index.ts";
import { loadKubeconfig, parseKubeconfig } from "./kubeconfig.ts";

const config = (user: string, cluster = "") => `
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u, namespace: team}}
- {name: two, context: {cluster: c, user: ""}}
clusters:
- name: c
  cluster: {server: "https://10.0.0.1:6443", ${cluster}}
users:
- name: u
  user: {${user}}
`;

describe("kubeconfig", () => {
  it("reads what our own writer writes", () => {
    const text = renderKubeconfig({ server: "https://x:1", ca: "CA", cert: "CERT", key: "KEY", user: "admin" });
    assert.deepEqual(parseKubeconfig(text), {
      server: "https://x:1",
      ca: "CA",
      cert: "CERT",
      key: "KEY",
      namespace: "default",
    });
  });

  it("knows all forms of credentials", () => {
    const { token, namespace } = parseKubeconfig(config("token: secret"));
    assert.deepEqual([token, namespace], ["secret", "team"]);
    const basic = parseKubeconfig(
      config(
        "username: jane, password: pw, as: joe, as-groups: [dev]",
        "insecure-skip-tls-verify: true, tls-server-name: api",
      ),
    );
    assert.deepEqual(basic, {
      server: "https://10.0.0.1:6443",
      insecureSkipTlsVerify: true,
      tlsServerName: "api",
      username: "jane",
      password: "pw",
      impersonateUser: "joe",
      impersonateGroups: ["dev"],
      namespace: "team",
    });
    assert.equal(parseKubeconfig(config("token: secret"), { context: "two" }).token, undefined);
  });

  it("takes paths as relative to the file", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kubits-kubeconfig-"));
    const path = join(directory, "config");
    await writeFile(
      path,
      config(
        "client-certificate: tls/a.crt, client-key: /etc/a.key, tokenFile: token",
        "certificate-authority: ca.crt",
      ),
    );
    const loaded = await loadKubeconfig(path);
    assert.equal(loaded.certFile, join(directory, "tls/a.crt"));
    assert.equal(loaded.keyFile, "/etc/a.key");
    assert.equal(loaded.tokenFile, join(directory, "token"));
    assert.equal(loaded.caFile, join(directory, "ca.crt"));
    await rm(directory, { recursive: true });
  });

  for (const [what, text, message] of [
    ["a missing context", "apiVersion: v1\nkind: Config\ncurrent-context: x", /there is no context named "x"/],
    ["a missing cluster", config("token: t").replace("name: c\n", "name: d\n"), /there is no cluster named "c"/],
    ["exec credentials", config("exec: {command: aws}"), /uses exec, which is not supported/],
    ["something else", "just text", /is not a kubeconfig/],
  ] as const) {
    it(`names ${what}`, () => assert.throws(() => parseKubeconfig(text), message));
  }
});
