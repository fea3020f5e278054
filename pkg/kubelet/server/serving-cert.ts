/** The kubelet's serving certificate: configured, or one signed by itself and kept below <root>/pki. */
import { X509Certificate } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createCa, issueCertificate, readIfPresent, writeFileAtomic } from "#pkg/pki/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { KubeletConfig } from "../config.ts";

const VALIDITY_DAYS = 365;
const DAY_MS = 86_400_000;

/** A certificate and its key, in PEM. */
export interface ServingCert {
  readonly cert: string;
  readonly key: string;
}

/** Epoch milliseconds. */
export function endOf({ cert }: ServingCert): number {
  return new X509Certificate(cert).validToDate.getTime();
}

export async function servingCertificate(
  config: KubeletConfig,
  hostname: string,
  ips: readonly string[],
  clock: Clock,
): Promise<ServingCert> {
  if (config.tlsCertFile !== "" && config.tlsPrivateKeyFile !== "") {
    return { cert: await readFile(config.tlsCertFile, "utf8"), key: await readFile(config.tlsPrivateKeyFile, "utf8") };
  }
  const directory = join(config.rootDirectory, "pki");
  const certPath = join(directory, "kubelet.crt");
  const keyPath = join(directory, "kubelet.key");
  const [cert, key] = await Promise.all([readIfPresent(certPath), readIfPresent(keyPath)]);
  const now = clock.now();
  if (cert !== undefined && key !== undefined) {
    const parsed = new X509Certificate(cert);
    const names = [hostname, ...ips].every((name) => parsed.subjectAltName?.includes(name) === true);
    if (names && parsed.validToDate.getTime() - now > 30 * DAY_MS) return { cert, key };
  }
  const ca = await createCa({
    commonName: `${hostname}-ca@${Math.floor(now / 1000)}`,
    validityDays: VALIDITY_DAYS,
    now,
  });
  const issued = await issueCertificate(ca, {
    commonName: `${hostname}@${Math.floor(now / 1000)}`,
    usages: ["server"],
    dnsNames: [hostname],
    ips,
    validityDays: VALIDITY_DAYS,
    now,
  });
  const made = { cert: `${issued.cert.trim()}\n${ca.cert}`, key: issued.key };
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFileAtomic(certPath, made.cert, 0o644);
  await writeFileAtomic(keyPath, made.key, 0o600);
  return made;
}
