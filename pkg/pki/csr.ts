import { createPrivateKey, createPublicKey } from "node:crypto";
import type * as x509 from "@peculiar/x509";
import { CLIENT_AUTH, type KeyPair, SERVER_AUTH, signLeaf } from "./issue.ts";

/** A parsed certificate request, its self-signature verified. */
export interface CertificateRequest {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly emailAddresses: readonly string[];
  readonly uris: readonly string[];
}

/** Extended key usages of certificates.k8s.io KeyUsage names. */
const EXTENDED_USAGES: Readonly<Record<string, string>> = {
  any: "2.5.29.37.0",
  "server auth": SERVER_AUTH,
  "client auth": CLIENT_AUTH,
  "code signing": "1.3.6.1.5.5.7.3.3",
  "email protection": "1.3.6.1.5.5.7.3.4",
  "s/mime": "1.3.6.1.5.5.7.3.4",
  "ipsec end system": "1.3.6.1.5.5.7.3.5",
  "ipsec tunnel": "1.3.6.1.5.5.7.3.6",
  "ipsec user": "1.3.6.1.5.5.7.3.7",
  timestamping: "1.3.6.1.5.5.7.3.8",
  "ocsp signing": "1.3.6.1.5.5.7.3.9",
  "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
  "netscape sgc": "2.16.840.1.113730.4.1",
};
const KEY_USAGES: Readonly<Record<string, keyof typeof x509.KeyUsageFlags>> = {
  signing: "digitalSignature",
  "digital signature": "digitalSignature",
  "content commitment": "nonRepudiation",
  "key encipherment": "keyEncipherment",
  "key agreement": "keyAgreement",
  "data encipherment": "dataEncipherment",
  "cert sign": "keyCertSign",
  "crl sign": "cRLSign",
  "encipher only": "encipherOnly",
  "decipher only": "decipherOnly",
};

const OID_SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";

async function decode(pem: string): Promise<x509.Pkcs10CertificateRequest> {
  const match = /-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([\s\S]+?)-----END (?:NEW )?CERTIFICATE REQUEST-----/.exec(
    pem,
  );
  if (match === null) throw new TypeError("PEM block type must be CERTIFICATE REQUEST");
  const { Pkcs10CertificateRequest } = await import("./x509.ts");
  return new Pkcs10CertificateRequest(Uint8Array.from(Buffer.from(match[1]!, "base64")));
}

/** The SAN extension by OID: the typed look-up of the library misses it on requests. */
async function alternativeNamesOf(
  request: x509.Pkcs10CertificateRequest,
): Promise<x509.SubjectAlternativeNameExtension | undefined> {
  const raw = request.extensions.find((extension) => extension.type === OID_SUBJECT_ALTERNATIVE_NAME);
  if (raw === undefined) return undefined;
  const { SubjectAlternativeNameExtension } = await import("./x509.ts");
  return new SubjectAlternativeNameExtension(raw.rawData);
}

/** Parses a PEM request. Rejects with a TypeError when it is malformed. The signature is checked by {@link signRequest}. */
export async function parseCertificateRequest(pem: string): Promise<CertificateRequest> {
  const request = await decode(pem);
  const names = (await alternativeNamesOf(request))?.names.toJSON() ?? [];
  const named = (type: string): string[] =>
    names.filter((name) => name.type === type).map((name) => String(name.value));
  return {
    commonName: request.subjectName.getField("CN").at(-1) ?? "",
    organizations: request.subjectName.getField("O"),
    dnsNames: named("dns"),
    ipAddresses: named("ip"),
    emailAddresses: named("email"),
    uris: named("url"),
  };
}

export interface SignRequestOptions {
  /** Usages as a CertificateSigningRequest spells them, e.g. "client auth". Unknown names are refused. */
  readonly usages: readonly string[];
  readonly durationSeconds: number;
  /** Epoch milliseconds. */
  readonly now: number;
}

/** Backdating of signed certificates, as upstream's signer does. */
const BACKDATE_MS = 5 * 60_000;

/**
 * Signs a PEM certificate request, keeping its subject and alternative names. PEM of the certificate.
 * @throws Error for a request whose signature does not verify, or an unknown usage.
 */
export async function signRequest(ca: KeyPair, pem: string, options: SignRequestOptions): Promise<string> {
  const request = await decode(pem);
  if (!(await request.verify())) throw new Error("the signature of the certificate request does not verify");
  const { KeyUsageFlags } = await import("./x509.ts");
  let keyUsage = 0;
  const extended: string[] = [];
  for (const usage of options.usages) {
    const flag = KEY_USAGES[usage];
    const oid = EXTENDED_USAGES[usage];
    if (flag !== undefined) keyUsage |= KeyUsageFlags[flag];
    else if (oid !== undefined) extended.push(oid);
    else throw new Error(`unrecognized usage value: "${usage}"`);
  }
  return signLeaf(ca, {
    subject: request.subjectName,
    publicKey: request.publicKey,
    notBefore: options.now - BACKDATE_MS,
    notAfter: options.now - BACKDATE_MS + options.durationSeconds * 1000,
    usages: extended,
    keyUsage,
    alternativeNames: await alternativeNamesOf(request),
  });
}

/** Makes a PEM request, as a node does to join. */
export async function createCertificateRequest(
  keyPem: string,
  subject: {
    commonName: string;
    organizations?: readonly string[];
    dnsNames?: readonly string[];
    ips?: readonly string[];
  },
): Promise<string> {
  const { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } = await import("./x509.ts");
  const ec = { name: "ECDSA", namedCurve: "P-256" };
  const privateKey = await crypto.subtle.importKey(
    "pkcs8",
    Uint8Array.from(createPrivateKey(keyPem).export({ type: "pkcs8", format: "der" })),
    ec,
    true,
    ["sign"],
  );
  const publicKey = await crypto.subtle.importKey(
    "spki",
    Uint8Array.from(createPublicKey(keyPem).export({ type: "spki", format: "der" })),
    ec,
    true,
    ["verify"],
  );
  const names: x509.JsonGeneralNames = [
    ...(subject.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(subject.ips ?? []).map((value) => ({ type: "ip" as const, value })),
  ];
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [...(subject.organizations ?? []).map((value) => ({ O: [value] })), { CN: [subject.commonName] }],
    keys: { privateKey, publicKey },
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)],
  });
  return `${request.toString("pem").trim()}\n`;
}
