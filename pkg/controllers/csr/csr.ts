/** Approves kubelets' own requests, signs approved ones, and clears away old ones. */
import { X509Certificate } from "node:crypto";
import { isNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { type CertificateRequest, parseCertificateRequest, signRequest } from "#pkg/pki/index.ts";
import { certificateSigningRequests, subjectAccessReviews } from "#pkg/api/refs.ts";
import type { SubjectAccessReview } from "#pkg/api/types/authorization-v1.ts";
import type { CertificateSigningRequest, CertificateSigningRequestCondition } from "#pkg/api/types/certificates-v1.ts";
import { errorMessage, formatTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, watching } from "../common/loop.ts";
import { createPeriodic } from "../common/periodic.ts";
import { isStale, KUBE_APISERVER_CLIENT_KUBELET, kubeletClientFault, signerFault } from "./requirements.ts";

const CLEANING_PERIOD_MS = 3600_000;
const SIGNERS = ["kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown"].map(
  (name) => `kubernetes.io/${name}`,
);
const MIN_EXPIRATION_SECONDS = 600;

function create(
  env: ControllerEnv,
  reconcile: (env: ControllerEnv, csr: CertificateSigningRequest, signal: AbortSignal) => Promise<void>,
): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [watching(informers.of(certificateSigningRequests), enqueueSelf<CertificateSigningRequest>(queue))],
    reconcile: async (key: ObjectKey, { signal }: ReconcileContext): Promise<Result> => {
      const csr = informers.of(certificateSigningRequests).lister.get(key);
      if (csr !== undefined) await reconcile(env, csr, signal);
      return DONE;
    },
  });
}

/** certificatesigningrequest-approving-controller: approves what kubelets ask for themselves. */
export function createCsrApprovingController(env: ControllerEnv): Controller {
  return create(env, approve);
}

/** certificatesigningrequest-signing-controller; undefined without a CA. */
export function createCsrSigningController(env: ControllerEnv): Controller | undefined {
  return env.options.signingCa === undefined ? undefined : create(env, sign);
}

function hasCondition(csr: CertificateSigningRequest, ...types: string[]): boolean {
  return (csr.status?.conditions ?? []).some(({ type }) => types.includes(type));
}

function decode(csr: CertificateSigningRequest): Promise<CertificateRequest> {
  return parseCertificateRequest(Buffer.from(csr.spec.request, "base64").toString("utf8"));
}

async function approve(env: ControllerEnv, csr: CertificateSigningRequest, signal: AbortSignal): Promise<void> {
  const { client, clock } = env;
  if (csr.spec.signerName !== KUBE_APISERVER_CLIENT_KUBELET) return;
  if ((csr.status?.certificate ?? "") !== "" || hasCondition(csr, "Approved", "Denied")) return;
  const request = await decode(csr);
  if (kubeletClientFault(request, csr.spec.usages ?? []) !== undefined) return; // somebody else's to judge
  const self = request.commonName === csr.spec.username;
  const attempts: (readonly [string, string])[] = [
    ...(self
      ? [["selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."] as const]
      : []),
    ["nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."],
  ];
  for (const [subresource, message] of attempts) {
    if (!(await isAllowed(env, csr, subresource, signal))) continue;
    const time = formatTime(clock.now());
    const condition: CertificateSigningRequestCondition = {
      type: "Approved",
      status: "True",
      reason: "AutoApproved",
      message,
      lastUpdateTime: time,
      lastTransitionTime: time,
    };
    const body = { ...csr, status: { ...csr.status, conditions: [...(csr.status?.conditions ?? []), condition] } };
    await client.updateSubresource<CertificateSigningRequest, CertificateSigningRequest, CertificateSigningRequest>(
      certificateSigningRequests,
      { namespace: "", name: csr.metadata.name },
      "approval",
      typed(body),
      { signal },
    );
    return;
  }
}

function typed(csr: CertificateSigningRequest): CertificateSigningRequest {
  return { ...csr, apiVersion: "certificates.k8s.io/v1", kind: "CertificateSigningRequest" };
}

async function isAllowed(
  { client }: ControllerEnv,
  { spec }: CertificateSigningRequest,
  subresource: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { username, uid, groups, extra } = spec;
  const review = {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    metadata: {},
    spec: {
      ...(username === undefined ? {} : { user: username }),
      ...(uid === undefined ? {} : { uid }),
      ...(groups === undefined ? {} : { groups }),
      ...(extra === undefined ? {} : { extra }),
      resourceAttributes: {
        group: "certificates.k8s.io",
        resource: "certificatesigningrequests",
        verb: "create",
        subresource,
        version: "*",
      },
    },
  };
  const answer: SubjectAccessReview = await client.create(subjectAccessReviews, review, { signal });
  return answer.status?.allowed === true;
}

async function sign(env: ControllerEnv, csr: CertificateSigningRequest, signal: AbortSignal): Promise<void> {
  const { client, clock, options } = env;
  const { signerName, usages = [], expirationSeconds } = csr.spec;
  if (!SIGNERS.includes(signerName) || options.signingCa === undefined) return;
  if (!hasCondition(csr, "Approved") || hasCondition(csr, "Denied", "Failed") || (csr.status?.certificate ?? "") !== "")
    return;
  let status: CertificateSigningRequest["status"];
  try {
    const fault = signerFault(signerName, await decode(csr), usages);
    if (fault !== undefined) throw new Error(fault);
    const maxSeconds = Math.floor(options.clusterSigningDurationMs / 1000);
    const wanted = Math.max(MIN_EXPIRATION_SECONDS, expirationSeconds ?? maxSeconds);
    const durationSeconds = Math.min(wanted, maxSeconds);
    const pem = Buffer.from(csr.spec.request, "base64").toString("utf8");
    const certificate = await signRequest(options.signingCa, pem, { usages, durationSeconds, now: clock.now() });
    status = { ...csr.status, certificate: Buffer.from(certificate).toString("base64") };
  } catch (error) {
    // It will be no better next time: say so and leave it.
    const time = formatTime(clock.now());
    const message = errorMessage(error);
    const failed = {
      type: "Failed",
      status: "True",
      reason: "SignerValidationFailure",
      message,
      lastUpdateTime: time,
      lastTransitionTime: time,
    };
    status = { ...csr.status, conditions: [...(csr.status?.conditions ?? []), failed] };
  }
  await client.updateStatus(certificateSigningRequests, { ...csr, status }, { signal });
}

/** certificatesigningrequest-cleaner-controller. */
export function createCsrCleaner(env: ControllerEnv): Controller {
  const { client, clock, log, informers, name } = env;
  return createPeriodic({
    name,
    clock,
    log,
    periodMs: CLEANING_PERIOD_MS,
    sources: [watching(informers.of(certificateSigningRequests))],
    async step(signal) {
      for (const csr of informers.of(certificateSigningRequests).lister.list()) {
        if (!isStale(csr, isExpired(csr.status?.certificate, clock.now()), clock.now())) continue;
        try {
          const key = { namespace: "", name: csr.metadata.name };
          await client.delete(certificateSigningRequests, key, { preconditions: { uid: csr.metadata.uid }, signal });
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
      }
    },
  });
}

function isExpired(certificate: string | undefined, now: number): boolean {
  if (certificate === undefined || certificate === "") return false;
  try {
    return Date.parse(new X509Certificate(Buffer.from(certificate, "base64")).validTo) < now;
  } catch {
    return false; // not a certificate that ends; its approval's age decides
  }
}
