import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate as NodeCertificate,
} from "node:crypto";
import { isIP } from "node:net";
import type * as x509 from "@peculiar/x509";

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface Subject {
  readonly commonName: string;
  readonly organizations?: readonly string[];
  /** The user's UID, as an attribute of its own (1.3.6.1.4.1.57683.2). */
  readonly uid?: string;
}

export interface CaOptions extends Subject {
  readonly validityDays: number;
  /** Epoch milliseconds. */
  readonly now: number;
}

export interface IssueOptions extends Subject {
  readonly validityDays: number;
  readonly now: number;
  readonly usages: readonly ("server" | "client")[];
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
}

const DAY_MS = 86_400_000;
/** Clocks of nodes differ a little; a certificate must not be "not yet valid" for them. */
const CLOCK_SKEW_MS = 5 * 60_000;
const EC = { name: "ECDSA", namedCurve: "P-256" } as const;
const EC_SIGN = { name: "ECDSA", hash: "SHA-256" } as const;
const RSA_SIGN = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } as const;
/** Extended key usages. Source: RFC 5280, section 4.2.1.12. */
export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
export const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const USAGES = { server: SERVER_AUTH, client: CLIENT_AUTH } as const;

/** An EC P-256 key as PKCS#8 PEM: small certificates and fast handshakes. */
export function generateEcKey(): string {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
    type: "pkcs8",
    format: "pem",
  }) as string;
}

/** The RSA-2048 pair service-account tokens are signed with; outside verifiers commonly accept nothing but RS256. */
export function generateServiceAccountKey(): { readonly key: string; readonly publicKey: string } {
  const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    key: pair.privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    publicKey: pair.publicKey.export({ type: "spki", format: "pem" }) as string,
  };
}

/** One attribute per RDN, O before CN, in the order Go's x509 writes them. */
function nameOf({ commonName, organizations = [], uid }: Subject): x509.JsonName {
  const attributes: x509.JsonName = organizations.map((value) => ({ O: [value] }));
  if (uid !== undefined) attributes.push({ "1.3.6.1.4.1.57683.2": [uid] });
  return [...attributes, { CN: [commonName] }];
}

/** RFC 5280 wants a positive serial of at most 20 bytes. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString("hex");
}

async function importPrivateKey(key: KeyObject): Promise<{ key: CryptoKey; sign: typeof EC_SIGN | typeof RSA_SIGN }> {
  const der = key.export({ type: "pkcs8", format: "der" });
  const bytes = Uint8Array.from(der);
  if (key.asymmetricKeyType === "rsa") {
    return {
      key: await crypto.subtle.importKey("pkcs8", bytes, RSA_SIGN, true, ["sign"]),
      sign: RSA_SIGN,
    };
  }
  const namedCurve = { prime256v1: "P-256", secp384r1: "P-384", secp521r1: "P-521" }[
    key.asymmetricKeyDetails?.namedCurve ?? ""
  ];
  if (namedCurve === undefined) throw new Error(`unsupported key type ${key.asymmetricKeyType ?? "unknown"}`);
  return {
    key: await crypto.subtle.importKey("pkcs8", bytes, { ...EC, namedCurve }, true, ["sign"]),
    sign: EC_SIGN,
  };
}

async function signingKeyOf(pem: string): Promise<{ key: CryptoKey; sign: typeof EC_SIGN | typeof RSA_SIGN }> {
  return importPrivateKey(createPrivateKey(pem));
}

async function publicKeyOf(privatePem: string): Promise<x509.PublicKey> {
  const { PublicKey } = await import("./x509.ts");
  return new PublicKey(Uint8Array.from(createPublicKey(privatePem).export({ type: "spki", format: "der" })));
}

/** A new self-signed certificate authority with an EC key. */
export async function createCa(options: CaOptions): Promise<KeyPair> {
  const x509 = await import("./x509.ts");
  const key = generateEcKey();
  const { key: signingKey, sign } = await signingKeyOf(key);
  const name = nameOf(options);
  const publicKey = await publicKeyOf(key);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: name,
    issuer: name,
    notBefore: new Date(options.now - CLOCK_SKEW_MS),
    notAfter: new Date(options.now + options.validityDays * DAY_MS),
    publicKey,
    signingKey,
    signingAlgorithm: sign,
    extensions: [
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment | x509.KeyUsageFlags.keyCertSign,
        true,
      ),
      new x509.BasicConstraintsExtension(true, undefined, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: options.commonName }]),
    ],
  });
  return { cert: pemOf(certificate), key };
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem").trim()}\n`;
}

/** Issues a leaf certificate with a new EC key. */
export async function issueCertificate(ca: KeyPair, options: IssueOptions): Promise<KeyPair> {
  const x509 = await import("./x509.ts");
  const key = generateEcKey();
  const names: x509.JsonGeneralNames = [
    ...(options.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(options.ips ?? []).map((value) => {
      if (isIP(value) === 0) throw new TypeError(`"${value}" is not an IP address`);
      return { type: "ip" as const, value };
    }),
  ];
  const cert = await signLeaf(ca, {
    subject: nameOf(options),
    publicKey: await publicKeyOf(key),
    notBefore: options.now - CLOCK_SKEW_MS,
    notAfter: options.now + options.validityDays * DAY_MS,
    usages: options.usages.map((usage) => USAGES[usage]),
    keyUsage: x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
    alternativeNames: names.length === 0 ? undefined : new x509.SubjectAlternativeNameExtension(names),
  });
  return { cert, key };
}

export interface LeafTemplate {
  readonly subject: x509.JsonName | string | x509.Name;
  readonly publicKey: x509.PublicKey;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly usages: readonly string[];
  readonly keyUsage: number;
  readonly alternativeNames: x509.Extension | undefined;
}

/** Signs a leaf as the template says; PEM. The leaf never outlives its CA. */
export async function signLeaf(ca: KeyPair, template: LeafTemplate): Promise<string> {
  const x509 = await import("./x509.ts");
  const issuer = new x509.X509Certificate(ca.cert);
  const { key: signingKey, sign } = await signingKeyOf(ca.key);
  const subject = template.subject instanceof x509.Name ? template.subject.toJSON() : template.subject;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: issuer.subjectName.toJSON(),
    notBefore: new Date(Math.max(template.notBefore, issuer.notBefore.getTime())),
    notAfter: new Date(Math.min(template.notAfter, issuer.notAfter.getTime())),
    publicKey: template.publicKey,
    signingKey,
    signingAlgorithm: sign,
    extensions: [
      new x509.KeyUsagesExtension(template.keyUsage, true),
      ...(template.usages.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension([...template.usages])]),
      new x509.BasicConstraintsExtension(false, undefined, true),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ...(template.alternativeNames === undefined ? [] : [template.alternativeNames]),
    ],
  });
  return pemOf(certificate);
}

/** True when the leaf was signed by one of the authorities (PEM, may hold several) and its signature verifies. */
export function issuedBy(leafDer: Uint8Array, authorities: readonly NodeCertificate[]): boolean {
  let leaf: NodeCertificate;
  try {
    leaf = new NodeCertificate(leafDer);
  } catch {
    return false; // what OpenSSL cannot read was issued by nobody
  }
  return authorities.some((authority) => leaf.checkIssued(authority) && leaf.verify(authority.publicKey));
}

/** All certificates of a PEM bundle. @throws Error when one of them is malformed. */
export function parseBundle(pem: string): NodeCertificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new NodeCertificate(block));
}
