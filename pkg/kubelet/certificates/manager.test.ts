import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { certificateSigningRequests } from "#pkg/api/refs.ts";
import { createCa, issueCertificate, parseCertificateRequest, signRequest } from "#pkg/pki/index.ts";
import { FakeClock, RealClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
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
  assert.equal((await parseCertificateRequest(pem)).commonName, "system:node:n1");
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

test("a certificate that has ended because the clock was set forward is renewed soon, not when a timer from before says", async () => {
  const { client } = cluster;
  const stop = new AbortController();
  const own = await mkdtemp(join(tmpdir(), "kubelet-pki-"));
  const clock = new FakeClock(Date.now());
  const ca = await createCa({ commonName: "ca", validityDays: 1000, now: clock.now() });
  const leaf = await issueCertificate(ca, {
    commonName: "system:node:n1",
    organizations: ["system:nodes"],
    usages: ["client"],
    validityDays: 100,
    now: clock.now(),
  });
  await writeFile(join(own, "kubelet-client-current.pem"), leaf.cert + leaf.key);
  const deps = { purpose: clientPurpose("n1"), directory: own, clock, random: new SeededRandom(1), log: silentLogger };
  const requests = async () => (await client.list(certificateSigningRequests)).items.length;
  const before = await requests();
  const running = new CertificateManager(deps).run(
    client,
    { issued: () => undefined, failed: () => undefined },
    stop.signal,
  );
  await clock.advance(3_600_000);
  assert.equal(await requests(), before, "it is good for months");
  clock.set(clock.now() + 99 * 86_400_000);
  // Files are read in real time: each minute of the clock's is given some.
  for (let minutes = 0; minutes < 60 && (await requests()) === before; minutes++) {
    await clock.advance(60_000);
    await delay(200);
  }
  assert.equal(await requests(), before + 1);
  stop.abort();
  await running;
  await rm(own, { recursive: true });
});

test("renewal falls into the last third of a certificate's life", () => {
  assert.equal(Math.round(renewAt(0, 1000, 0)), 700);
  assert.equal(Math.round(renewAt(0, 1000, 1)), 900);
});
