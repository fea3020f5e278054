import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { certificateSigningRequests } from "#pkg/api/refs.ts";
import { createCa, parseCertificateRequest, signRequest } from "#pkg/pki/index.ts";
import { RealClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import { startCluster } from "../testing/cluster.ts";
import type { TestCluster } from "../testing/cluster.ts";
import { CertificateManager, clientPurpose, renewAt } from "./manager.ts";

let cluster: TestCluster;
let directory: string;
before(async () => {
  cluster = await startCluster();
  directory = await mkdtemp(join(tmpdir(), "kubelet-pki-"));
});
after(async () => {
  await cluster.stop();
  await rm(directory, { recursive: true });
});
const manager = () =>
  new CertificateManager({
    purpose: clientPurpose("n1"),
    directory,
    clock: new RealClock(),
    random: new SeededRandom(1),
    log: silentLogger,
  });

test("a request becomes a certificate on disk once it is approved and signed", async () => {
  const { client } = cluster;
  const signal = AbortSignal.timeout(10_000);
  const ca = await createCa({ commonName: "ca", validityDays: 10, now: Date.now() });
  assert.equal(await manager().current(), undefined);
  const issued = manager().request(client, signal);
  let request;
  while ((request = (await client.list(certificateSigningRequests)).items[0]) === undefined)
    await new Promise((resolve) => setImmediate(resolve));
  assert.equal(request.spec.signerName, "kubernetes.io/kube-apiserver-client-kubelet");
  const pem = Buffer.from(request.spec.request, "base64").toString();
  assert.equal(parseCertificateRequest(pem).commonName, "system:node:n1");
  const certificate = await signRequest(ca, pem, {
    usages: request.spec.usages!,
    durationSeconds: 3600,
    now: Date.now(),
  } as never);
  await client.updateStatus(certificateSigningRequests, {
    ...request,
    status: { certificate: Buffer.from(certificate).toString("base64") },
  });
  const { file, cert } = await issued;
  assert.equal(cert, certificate);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.match(await readFile(file, "utf8"), /PRIVATE KEY/);
  assert.equal((await manager().current())?.file, file);
});

test("renewal falls into the last third of a certificate's life", () => {
  assert.equal(Math.round(renewAt(0, 1000, 0)), 700);
  assert.equal(Math.round(renewAt(0, 1000, 1)), 900);
});
