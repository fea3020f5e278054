import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, before, test } from "node:test";
import { createCa, createCertificateRequest, generateEcKey, type KeyPair } from "#pkg/pki/index.ts";
import { certificateSigningRequests, deployments, horizontalPodAutoscalers, namespaces } from "#pkg/api/refs.ts";
import type { CertificateSigningRequest } from "#pkg/api/types/certificates-v1.ts";
import { SimulatedCluster } from "./cluster.ts";
import { deployment } from "./objects.ts";

let cluster: SimulatedCluster;
let ca: KeyPair;
before(async () => {
  ca = await createCa({ commonName: "kubernetes", validityDays: 3650, now: Date.UTC(2026, 0, 1) });
  cluster = await SimulatedCluster.start({ seed: 5, controllerOptions: { signingCa: ca } });
  await cluster.observe(certificateSigningRequests, horizontalPodAutoscalers, deployments);
});
after(() => cluster.close());

const csrNamed = (name: string) =>
  cluster.list(certificateSigningRequests).find(({ metadata }) => metadata.name === name);

async function request(name: string, usages: string[]): Promise<CertificateSigningRequest> {
  const pem = await createCertificateRequest(generateEcKey(), { commonName: "jane", organizations: ["devs"] });
  const spec = {
    request: Buffer.from(pem).toString("base64"),
    signerName: "kubernetes.io/kube-apiserver-client",
    usages,
  };
  const csr = await cluster.admin.create(certificateSigningRequests, { metadata: { name }, spec });
  const approved = { type: "Approved", status: "True", reason: "ByTest", message: "" };
  return cluster.admin.updateSubresource(certificateSigningRequests, { namespace: "", name }, "approval", {
    ...csr,
    status: { conditions: [approved] },
  });
}

/** Signing works off the event loop's thread: it needs real time besides simulated time. */
async function untilDone(name: string): Promise<CertificateSigningRequest> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const csr = csrNamed(name);
    if (
      csr?.status?.certificate !== undefined ||
      csr?.status?.conditions?.some(({ type }) => type === "Failed") === true
    )
      return csr;
    await new Promise((resolve) => setTimeout(resolve, 10));
    await cluster.advance(100);
  }
  throw new Error(`${name} was not decided`);
}

test("an approved request is signed by the cluster's authority", async () => {
  await request("good", ["client auth"]);
  const { status } = await untilDone("good");
  const certificate = new X509Certificate(Buffer.from(status!.certificate!, "base64"));
  assert.ok(certificate.verify(new X509Certificate(ca.cert).publicKey));
  assert.match(certificate.subject, /CN=jane/);
});

test("a request that the signer must refuse is marked failed", async () => {
  await request("bad", ["server auth", "client auth"]);
  const { status } = await untilDone("bad");
  const failed = status?.conditions?.find(({ type }) => type === "Failed");
  assert.equal(failed?.reason, "SignerValidationFailure");
  assert.equal(status?.certificate, undefined);
});

test("an autoscaler without a metrics API says so, and leaves its target alone", async () => {
  await cluster.admin.create(namespaces, { metadata: { name: "h" }, spec: {} });
  await cluster.advance(1000);
  await cluster.admin.create(deployments, deployment("h", "web", 2));
  await cluster.admin.create(horizontalPodAutoscalers, {
    metadata: { namespace: "h", name: "web" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
      minReplicas: 1,
      maxReplicas: 5,
    },
  });
  const condition = () =>
    cluster.list(horizontalPodAutoscalers, "h")[0]?.status?.conditions?.find(({ type }) => type === "ScalingActive");
  await cluster.until("judged", () => condition()?.status === "False");
  assert.equal(condition()?.reason, "FailedGetResourceMetric");
  assert.match(
    condition()?.message ?? "",
    /^the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for/,
  );
  const { currentReplicas, conditions } = cluster.list(horizontalPodAutoscalers, "h")[0]!.status!;
  assert.equal(currentReplicas, 2);
  assert.deepEqual(
    conditions?.map(({ type, status, reason }) => [type, status, reason]),
    [
      ["AbleToScale", "True", "SucceededGetScale"],
      ["ScalingActive", "False", "FailedGetResourceMetric"],
    ],
  );
  assert.equal(cluster.list(deployments, "h")[0]?.spec.replicas, 2);
  await cluster.admin.patch(deployments, { namespace: "h", name: "web" }, "merge", { spec: { replicas: 9 } });
  await cluster.until("bounded", () => cluster.list(deployments, "h")[0]?.spec.replicas === 5);
});
