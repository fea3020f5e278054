/**
 * Certificates the node gets from the cluster by CertificateSigningRequest: the client certificate it joins with (from
 * a bootstrap token's identity) and renews, and its serving certificate. Kept as one PEM file with chain and key.
 */
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import type { CertificateSigningRequest } from "#pkg/api/types/certificates-v1.ts";
import { certificateSigningRequests } from "#pkg/api/refs.ts";
import type { Client, Draft } from "#pkg/client/index.ts";
import { createCertificateRequest, generateEcKey, readIfPresent, writeFileAtomic } from "#pkg/pki/index.ts";
import { pause } from "#pkg/util/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";

/** An administrator may take this long to approve before a new request is made. */
const APPROVAL_TIMEOUT_MS = 15 * 60_000;
const RETRY_MS = 10_000;
/** Certificates end by the clock of the day, which may be set while timers run. */
const RECHECK_MS = 10 * 60_000;

/** What a certificate is for, and whom it names. */
export interface CertificatePurpose {
  readonly signerName: string;
  /** First part of file and request names: kubelet-client, kubelet-server. */
  readonly baseName: string;
  readonly usages: readonly string[];
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
}

/** The certificate by which the kubelet proves to the API server which node it is. */
export function clientPurpose(nodeName: string): CertificatePurpose {
  return {
    signerName: "kubernetes.io/kube-apiserver-client-kubelet",
    baseName: "kubelet-client",
    usages: ["digital signature", "client auth"],
    commonName: `system:node:${nodeName}`,
    organizations: ["system:nodes"],
  };
}
/** The certificate of the kubelet's own server on port 10250. */
export function servingPurpose(
  nodeName: string,
  dnsNames: readonly string[],
  ips: readonly string[],
): CertificatePurpose {
  return {
    signerName: "kubernetes.io/kubelet-serving",
    baseName: "kubelet-server",
    usages: ["digital signature", "server auth"],
    commonName: `system:node:${nodeName}`,
    organizations: ["system:nodes"],
    dnsNames,
    ips,
  };
}

export interface CertificateManagerDeps {
  readonly purpose: CertificatePurpose;
  /** <root>/pki. */
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}
/** Hears of what comes of renewals. */
export interface RenewalObserver {
  issued(certificate: IssuedCertificate): void;
  failed(): void;
}
/** A certificate on disk and in memory. */
export interface IssuedCertificate {
  /** Holds chain and key; both may be read from it. */
  readonly file: string;
  readonly cert: string;
  readonly key: string;
}

/** The request was denied or failed: asking again in the same way is no use until somebody acts. */
class CertificateDenied extends Error {}

/** When to renew: somewhere between 70 and 90 % of a certificate's life, so that nodes made together do not renew together. Pure. */
export function renewAt(notBefore: number, notAfter: number, jitter: number): number {
  return notBefore + (notAfter - notBefore) * (0.7 + 0.2 * jitter);
}

/** Keeps a certificate: reads it from disk, asks for one where there is none, renews it in time. */
export class CertificateManager {
  readonly #deps: CertificateManagerDeps;
  readonly #jitter: number;
  #ends: number | undefined;

  constructor(deps: CertificateManagerDeps) {
    this.#deps = deps;
    this.#jitter = deps.random.float();
  }

  get file(): string {
    return join(this.#deps.directory, `${this.#deps.purpose.baseName}-current.pem`);
  }

  /** When the certificate ends that was last seen on disk, in epoch milliseconds. */
  get ends(): number | undefined {
    return this.#ends;
  }

  /** What is on disk, when it is still valid and made for this node. */
  async current(): Promise<IssuedCertificate | undefined> {
    const text = await readIfPresent(this.file);
    const key =
      text === undefined
        ? undefined
        : /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]+?-----END [A-Z ]*PRIVATE KEY-----\n?/.exec(text)?.[0];
    if (text === undefined || key === undefined) return undefined;
    const cert = text.replace(key, "");
    const parsed = new X509Certificate(cert);
    this.#ends = parsed.validToDate.getTime();
    return this.#fits(parsed) ? { file: this.file, cert, key } : undefined;
  }

  /** Still valid, in this node's name, and for every name and address that it has now? */
  #fits(certificate: X509Certificate): boolean {
    const { purpose, clock } = this.#deps;
    const { dnsNames = [], ips = [] } = purpose;
    return (
      certificate.subject.split("\n").includes(`CN=${purpose.commonName}`) &&
      certificate.validToDate.getTime() > clock.now() &&
      dnsNames.every((name) => certificate.checkHost(name) !== undefined) &&
      ips.every((ip) => certificate.checkIP(ip) !== undefined)
    );
  }

  /** Asks for a certificate and waits until it is issued. */
  async request(client: Client, signal: AbortSignal): Promise<IssuedCertificate> {
    const { purpose, random, log, clock } = this.#deps;
    const key = generateEcKey();
    const pem = await createCertificateRequest(key, {
      commonName: purpose.commonName,
      organizations: purpose.organizations,
      dnsNames: purpose.dnsNames,
      ips: purpose.ips,
    });
    const draft: Draft<CertificateSigningRequest> = {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { name: `csr-${random.suffix(8)}` },
      spec: {
        request: Buffer.from(pem).toString("base64"),
        signerName: purpose.signerName,
        usages: [...purpose.usages],
      },
    };
    const created = await client.create(certificateSigningRequests, draft, { signal });
    log.info(
      { request: created.metadata.name, signerName: purpose.signerName },
      "Waiting for a certificate to be approved and issued",
    );
    const deadline = new AbortController();
    const cancel = clock.schedule(APPROVAL_TIMEOUT_MS, () =>
      deadline.abort(new Error("nobody approved the certificate request in time")),
    );
    try {
      const cert = await this.#issued(client, created, AbortSignal.any([signal, deadline.signal]));
      await writeFileAtomic(this.file, `${cert.trim()}\n${key.trim()}\n`, 0o600);
      return { file: this.file, cert, key };
    } finally {
      cancel();
    }
  }

  async #issued(client: Client, created: CertificateSigningRequest, signal: AbortSignal): Promise<string> {
    const name = created.metadata.name;
    let resourceVersion: string | undefined = created.metadata.resourceVersion;
    for (;;) {
      const current = await client.get(certificateSigningRequests, { namespace: "", name }, { signal });
      const done = outcome(current);
      if (done !== undefined) return done;
      resourceVersion = current.metadata.resourceVersion;
      const watch = client.watch(certificateSigningRequests, {
        fieldSelector: `metadata.name=${name}`,
        resourceVersion,
        signal,
      });
      for await (const event of watch) {
        if (event.type === "BOOKMARK") continue;
        if (event.type === "DELETED") throw new CertificateDenied(`certificate request ${name} was deleted`);
        const issued = outcome(event.object);
        if (issued !== undefined) return issued;
      }
    }
  }

  /** Renews in time, for ever. */
  async run(client: Client, observer: RenewalObserver, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    while (!signal.aborted) {
      let delayMs = RECHECK_MS;
      try {
        const current = await this.current();
        const parsed = current === undefined ? undefined : new X509Certificate(current.cert);
        const due =
          parsed === undefined
            ? 0
            : renewAt(parsed.validFromDate.getTime(), parsed.validToDate.getTime(), this.#jitter);
        if (clock.now() >= due) observer.issued(await this.request(client, signal));
        else delayMs = Math.min(due - clock.now(), RECHECK_MS);
      } catch (err) {
        if (signal.aborted) return;
        log.warn({ err }, "Renewing a certificate failed");
        observer.failed();
        delayMs = RETRY_MS;
      }
      await pause(clock, delayMs, signal);
    }
  }
}

function outcome({ metadata, status }: CertificateSigningRequest): string | undefined {
  const verdict = status?.conditions?.find(({ type }) => type === "Denied" || type === "Failed");
  if (verdict !== undefined)
    throw new CertificateDenied(
      `certificate request ${metadata.name} was ${verdict.type === "Denied" ? "denied" : "refused"}: ${verdict.reason ?? ""} ${verdict.message ?? ""}`,
    );
  return status?.certificate === undefined || status.certificate === ""
    ? undefined
    : Buffer.from(status.certificate, "base64").toString("utf8");
}
