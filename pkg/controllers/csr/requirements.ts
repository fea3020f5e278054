/** What each built-in signer demands of a request (kubernetes.io signers, certificates.k8s.io/v1). */
import type { CertificateRequest } from "#pkg/pki/index.ts";

const KUBE_APISERVER_CLIENT = "kubernetes.io/kube-apiserver-client";
export const KUBE_APISERVER_CLIENT_KUBELET = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING = "kubernetes.io/kubelet-serving";
const LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown";

function sameUsages(usages: readonly string[], required: readonly string[], optional: readonly string[]): boolean {
  const given = new Set(usages);
  return (
    required.every((usage) => given.has(usage)) &&
    usages.every((usage) => required.includes(usage) || optional.includes(usage))
  );
}

function nodeIdentity({ commonName, organizations }: CertificateRequest): string | undefined {
  if (organizations.length !== 1 || organizations[0] !== "system:nodes")
    return "subject organization is not system:nodes";
  return commonName.startsWith("system:node:") ? undefined : "subject common name does not begin with system:node:";
}

/** Why a kubelet's client certificate may not be issued; undefined when it may. */
export function kubeletClientFault(request: CertificateRequest, usages: readonly string[]): string | undefined {
  const identity = nodeIdentity(request);
  if (identity !== undefined) return identity;
  if (request.dnsNames.length > 0) return "DNS subjectAltNames are not allowed";
  if (request.ipAddresses.length > 0) return "IP subjectAltNames are not allowed";
  if (request.emailAddresses.length > 0) return "Email subjectAltNames are not allowed";
  if (request.uris.length > 0) return "URI subjectAltNames are not allowed";
  return sameUsages(usages, ["digital signature", "client auth"], ["key encipherment"])
    ? undefined
    : "usages did not match [client auth digital signature key encipherment]";
}

function kubeletServingFault(request: CertificateRequest, usages: readonly string[]): string | undefined {
  const identity = nodeIdentity(request);
  if (identity !== undefined) return identity;
  if (request.emailAddresses.length > 0) return "Email subjectAltNames are not allowed";
  if (request.uris.length > 0) return "URI subjectAltNames are not allowed";
  if (request.dnsNames.length === 0 && request.ipAddresses.length === 0) return "DNS or IP subjectAltName is required";
  return sameUsages(usages, ["digital signature", "server auth"], ["key encipherment"])
    ? undefined
    : "usages did not match [digital signature key encipherment server auth]";
}

function clientUsageFault(usages: readonly string[]): string | undefined {
  const wrong = usages.find((usage) => !["client auth", "digital signature", "key encipherment"].includes(usage));
  if (wrong !== undefined) return `invalid usage for client certificate: ${wrong}`;
  return usages.includes("client auth") ? undefined : "missing required usage for client certificate: client auth";
}

/** Why this signer must not sign; undefined when it may. */
export function signerFault(
  signer: string,
  request: CertificateRequest,
  usages: readonly string[],
): string | undefined {
  switch (signer) {
    case KUBELET_SERVING:
      return kubeletServingFault(request, usages);
    case KUBE_APISERVER_CLIENT_KUBELET:
      return kubeletClientFault(request, usages);
    case KUBE_APISERVER_CLIENT:
      return clientUsageFault(usages);
    case LEGACY_UNKNOWN:
      return undefined;
    default:
      return `unrecognized signer ${JSON.stringify(signer)}`;
  }
}

const HOUR_MS = 3600_000;

interface Dated {
  readonly type: string;
  readonly lastUpdateTime?: string | null;
}

/** May a CertificateSigningRequest be removed: settled for an hour, pending for a day, or its certificate expired? */
export function isStale(
  csr: {
    metadata: { creationTimestamp: string };
    status?: { conditions?: readonly Dated[]; certificate?: string };
  },
  certificateExpired: boolean,
  now: number,
): boolean {
  const { conditions = [], certificate = "" } = csr.status ?? {};
  const older = (time: string | undefined, ms: number) => time !== undefined && now - Date.parse(time) > ms;
  const since = (type: string) => conditions.find((condition) => condition.type === type)?.lastUpdateTime ?? undefined;
  if (older(since("Denied"), HOUR_MS) || older(since("Failed"), HOUR_MS)) return true;
  if (certificate !== "") return certificateExpired || older(since("Approved"), HOUR_MS);
  return older(csr.metadata.creationTimestamp, 24 * HOUR_MS);
}
