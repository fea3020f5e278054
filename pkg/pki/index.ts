/**
 * Certificates and keys of a cluster, in kubeadm's layout, and kubeconfig files.
 *
 * Wiring (cmd/master):
 * ```ts
 * const pki = await ensureClusterPki({ dir: "/etc/kubernetes/pki", apiserverSans: ["kubernetes", …, "10.96.0.1"], now: clock.now() });
 * const admin = await issueCertificate(pki.ca, { commonName: "kubernetes-admin", organizations: ["system:masters"], usages: ["client"], validityDays: 365, now });
 * await writeKubeconfig({ path: "/etc/kubernetes/admin.conf", server, ca: pki.ca.cert, ...admin, user: "kubernetes-admin" });
 * ```
 * `apiserver-kubelet-client` is in the group kubeadm:cluster-admins, which needs its ClusterRoleBinding
 * (`#pkg/apiserver/bootstrap/index.ts` makes it). Files holding keys have mode 0600 and are replaced atomically.
 */
export {
  createCa,
  issueCertificate,
  issuedBy,
  parseBundle,
  generateEcKey,
  generateServiceAccountKey,
} from "./issue.ts";
export type { KeyPair, CaOptions, IssueOptions } from "./issue.ts";
export { ensureClusterPki, type ClusterPki, type ClusterPkiOptions } from "./cluster-pki.ts";
export { renderKubeconfig, writeKubeconfig, type KubeconfigOptions } from "./kubeconfig.ts";
export { createCertificateRequest, parseCertificateRequest, signRequest } from "./csr.ts";
export type { CertificateRequest, SignRequestOptions } from "./csr.ts";
export { parsePeerCertificate, type PeerCertificate } from "./peer-certificate.ts";
export {
  type BootstrapToken,
  detachedSignature,
  hasDetachedSignature,
  parseBootstrapToken,
  publicKeyPin,
} from "./discovery.ts";
export { readIfPresent, writeFileAtomic } from "./files.ts";
