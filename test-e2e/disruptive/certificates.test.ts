import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { issueCertificate } from "#pkg/pki/index.ts";
import type { LabNode } from "../../hack/lib/lab.ts";
import { eventually, useCluster } from "../framework/lab.ts";

const context = useCluster("certificates");
/** Of the certificates that are about to end: in the last part of their life already, with this much of it left. */
const LEFT_MS = 60_000;
const DAY_MS = 86_400_000;

test("a node's certificates are renewed before they end, without a restart", { timeout: 240_000 }, async () => {
  const { cluster } = context;
  const lab = cluster.programs;
  const node = lab.nodes[1]!;
  const pki = join(node.layout.kubeletDir, "pki");
  const fileOf = (name: string) => join(pki, `${name}-current.pem`);
  const serialIn = (name: string) => new X509Certificate(readFileSync(fileOf(name), "utf8")).serialNumber;
  const endingSoon = await replaceByEnding(lab.master.layout.pkiDir, node, fileOf);
  const endsAt = Date.now() + LEFT_MS;

  await node.daemons.stop("kubits-node");
  lab.startNode(node, ["--rotate-server-certificates"]);
  const pid = await eventually("kubits-node runs", async () => node.daemons.pid("kubits-node"));
  await eventually(
    "the client certificate is renewed by itself",
    async () => (serialIn("kubelet-client") === endingSoon.client ? undefined : true),
    90_000,
  );
  // Nobody but an administrator may say whether a machine serves under a name.
  const served = await eventually(
    "the serving certificate is renewed once that is approved",
    async () => {
      await approveAll();
      const serial = await servedSerial(node);
      return serial === undefined || serial === endingSoon.serving ? undefined : serial;
    },
    90_000,
  );
  assert.equal(served, serialIn("kubelet-server"));

  await eventually(
    "the old certificates have ended",
    async () => (Date.now() > endsAt ? true : undefined),
    LEFT_MS + 5000,
  );
  const renewTime = () =>
    lab.kubectl("-n", "kube-node-lease", "get", "lease", node.name, "-o", "jsonpath={.spec.renewTime}");
  const before = await renewTime();
  await eventually(
    "the node's lease is renewed still",
    async () => ((await renewTime()) > before ? true : undefined),
    60_000,
  );
  assert.equal(node.daemons.pid("kubits-node"), pid, "the program was not restarted for it");

  async function approveAll(): Promise<void> {
    const path = "{range .items[?(@.spec.signerName=='kubernetes.io/kubelet-serving')]}{.metadata.name}{'\\n'}{end}";
    const names = (await lab.kubectl("get", "csr", "-o", `jsonpath=${path}`)).split("\n").filter((name) => name !== "");
    for (const name of names) await lab.kubectl("certificate", "approve", name);
  }
  /** Serial number of what the node's server shows. */
  async function servedSerial({ address }: LabNode): Promise<string | undefined> {
    const show = `openssl s_client -connect ${address}:10250 </dev/null 2>/dev/null | openssl x509 -noout -serial`;
    const { stdout, exitCode } = await lab.run(lab.master, "sh", ["-c", show], { allowFailure: true });
    return exitCode === 0 ? stdout.trim().replace(/^serial=/, "") : undefined;
  }
});

/** Puts certificates of the cluster's CA that are due for renewal in the place of the node's. Answers their numbers. */
async function replaceByEnding(pkiDir: string, node: LabNode, fileOf: (name: string) => string) {
  const read = (name: string) => readFileSync(join(pkiDir, name), "utf8");
  const ca = { cert: read("ca.crt"), key: read("ca.key") };
  const issue = async (name: string, usage: "client" | "server") => {
    const { cert, key } = await issueCertificate(ca, {
      commonName: `system:node:${node.name}`,
      organizations: ["system:nodes"],
      usages: [usage],
      ...(usage === "server" ? { dnsNames: [node.name], ips: [node.address] } : {}),
      validityDays: LEFT_MS / DAY_MS,
      now: Date.now(),
    });
    writeFileSync(fileOf(name), `${cert.trim()}\n${key.trim()}\n`, { mode: 0o600 });
    return new X509Certificate(cert).serialNumber;
  };
  return { client: await issue("kubelet-client", "client"), serving: await issue("kubelet-server", "server") };
}
