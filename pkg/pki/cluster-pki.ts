import { createPublicKey, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { join } from "node:path";
import { readIfPresent, writeFileAtomic } from "./files.ts";
import {
  createCa,
  generateServiceAccountKey,
  issueCertificate,
  issuedBy,
  type IssueOptions,
  type KeyPair,
} from "./issue.ts";

/** Everything a control plane keeps under /etc/kubernetes/pki, loaded (PEM). */
export interface ClusterPki {
  readonly ca: KeyPair;
  readonly apiserver: KeyPair;
  readonly apiserverKubeletClient: KeyPair;
  readonly frontProxyCa: KeyPair;
  readonly frontProxyClient: KeyPair;
  readonly serviceAccount: { readonly key: string; readonly publicKey: string };
}

export interface ClusterPkiOptions {
  /** kubeadm's /etc/kubernetes/pki, or its stand-in. */
  readonly dir: string;
  /** DNS names and IP addresses of the API server's certificate, mixed. */
  readonly apiserverSans: readonly string[];
  /** Epoch milliseconds. */
  readonly now: number;
  /** kubeadm's defaults: ten years for authorities, one for leaves. */
  readonly caValidityDays?: number;
  readonly validityDays?: number;
}

/** A leaf with less than this left is renewed at start. */
const RENEW_BEFORE_MS = 30 * 86_400_000;

async function loadPair(dir: string, name: string): Promise<KeyPair | undefined> {
  const [cert, key] = await Promise.all([
    readIfPresent(join(dir, `${name}.crt`)),
    readIfPresent(join(dir, `${name}.key`)),
  ]);
  if (cert === undefined) return undefined;
  if (key === undefined) throw new Error(`${join(dir, `${name}.crt`)} exists but its key does not`);
  return { cert, key };
}

async function storePair(dir: string, name: string, pair: KeyPair): Promise<KeyPair> {
  // The key first: a certificate without its key would stop the next start.
  await writeFileAtomic(join(dir, `${name}.key`), pair.key, 0o600);
  await writeFileAtomic(join(dir, `${name}.crt`), pair.cert, 0o644);
  return pair;
}

async function ensureCa(dir: string, name: string, commonName: string, options: ClusterPkiOptions): Promise<KeyPair> {
  const present = await loadPair(dir, name);
  if (present !== undefined) return present;
  return storePair(
    dir,
    name,
    await createCa({ commonName, validityDays: options.caValidityDays ?? 3650, now: options.now }),
  );
}

/** Would this leaf still do: signed by this CA, not about to expire, for all these names? */
function usable(pair: KeyPair, ca: KeyPair, wanted: IssueOptions): boolean {
  const certificate = new X509Certificate(pair.cert);
  if (!issuedBy(certificate.raw, [new X509Certificate(ca.cert)])) return false;
  if (Date.parse(certificate.validTo) - wanted.now < RENEW_BEFORE_MS) return false;
  return (
    (wanted.dnsNames ?? []).every((name) => certificate.checkHost(name) !== undefined) &&
    (wanted.ips ?? []).every((ip) => certificate.checkIP(ip) !== undefined)
  );
}

async function ensureLeaf(dir: string, name: string, ca: KeyPair, wanted: IssueOptions): Promise<KeyPair> {
  const present = await loadPair(dir, name);
  if (present !== undefined && usable(present, ca, wanted)) return present;
  return storePair(dir, name, await issueCertificate(ca, wanted));
}

async function ensureServiceAccountKey(dir: string): Promise<ClusterPki["serviceAccount"]> {
  const key = await readIfPresent(join(dir, "sa.key"));
  if (key === undefined) {
    const made = generateServiceAccountKey();
    await writeFileAtomic(join(dir, "sa.key"), made.key, 0o600);
    await writeFileAtomic(join(dir, "sa.pub"), made.publicKey, 0o600);
    return made;
  }
  const publicKey = await readIfPresent(join(dir, "sa.pub"));
  if (publicKey !== undefined) return { key, publicKey };
  const derived = createPublicKey(key).export({ type: "spki", format: "pem" }) as string;
  await writeFileAtomic(join(dir, "sa.pub"), derived, 0o600);
  return { key, publicKey: derived };
}

/**
 * Loads the cluster's PKI in kubeadm's layout, creating what is missing and renewing leaves that are about to expire,
 * lack a wanted name or come from another CA. Authorities and the service-account key are never replaced. Idempotent.
 * @throws Error when a certificate is there without its key, or a file cannot be read or written.
 */
export async function ensureClusterPki(options: ClusterPkiOptions): Promise<ClusterPki> {
  const { dir, now } = options;
  const validityDays = options.validityDays ?? 365;
  const ca = await ensureCa(dir, "ca", "kubernetes", options);
  const frontProxyCa = await ensureCa(dir, "front-proxy-ca", "front-proxy-ca", options);
  const apiserver = await ensureLeaf(dir, "apiserver", ca, {
    commonName: "kube-apiserver",
    validityDays,
    now,
    usages: ["server"],
    dnsNames: options.apiserverSans.filter((name) => isIP(name) === 0),
    ips: options.apiserverSans.filter((name) => isIP(name) !== 0),
  });
  const apiserverKubeletClient = await ensureLeaf(dir, "apiserver-kubelet-client", ca, {
    commonName: "kube-apiserver-kubelet-client",
    organizations: ["kubeadm:cluster-admins"],
    validityDays,
    now,
    usages: ["client"],
  });
  const frontProxyClient = await ensureLeaf(dir, "front-proxy-client", frontProxyCa, {
    commonName: "front-proxy-client",
    validityDays,
    now,
    usages: ["client"],
  });
  const serviceAccount = await ensureServiceAccountKey(dir);
  return { ca, apiserver, apiserverKubeletClient, frontProxyCa, frontProxyClient, serviceAccount };
}
