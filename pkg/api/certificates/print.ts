import { ageOf, humanDuration, NONE } from "../printers/cells.ts";
import type { CertificateSigningRequest } from "../types/certificates-v1.ts";
import type { ClusterTrustBundle, PodCertificateRequest } from "../types/certificates-v1beta1.ts";

function requestState(request: Readonly<CertificateSigningRequest>): string {
  const conditions = request.status?.conditions ?? [];
  const has = (wanted: string) => conditions.some(({ type }) => type === wanted);
  let state = "Pending";
  if (has("Denied")) state = "Denied";
  else if (has("Approved")) state = "Approved";
  if (has("Failed")) state += ",Failed";
  if (request.status?.certificate) state += ",Issued";
  return state;
}

export function printCertificateSigningRequest(request: Readonly<CertificateSigningRequest>, now: number): unknown[] {
  const { expirationSeconds, signerName, username } = request.spec;
  return [
    request.metadata.name,
    ageOf(request, now),
    signerName || NONE,
    username ?? "",
    expirationSeconds === undefined ? NONE : humanDuration(expirationSeconds * 1000),
    requestState(request),
  ];
}

export function printClusterTrustBundle(bundle: Readonly<ClusterTrustBundle>): unknown[] {
  return [bundle.metadata.name, bundle.spec.signerName || NONE];
}

export function printPodCertificateRequest(request: Readonly<PodCertificateRequest>): unknown[] {
  const { podName, serviceAccountName, nodeName, signerName, unverifiedUserAnnotations } = request.spec;
  const state = ["Denied", "Failed", "Issued"].find(
    (type) => request.status?.conditions?.some((condition) => condition.type === type) === true,
  );
  const annotations = Object.entries(unverifiedUserAnnotations ?? {}).map(([key, value]) => `${key}=${value}`);
  return [
    request.metadata.name,
    podName,
    serviceAccountName,
    nodeName,
    signerName,
    state ?? "Pending",
    annotations.length === 0 ? NONE : annotations.sort().join(","),
  ];
}
