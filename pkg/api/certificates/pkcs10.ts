/** Certificate requests (PKCS#10): what keeps a text from being one that whoever holds its key has signed. */
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import { children, type DerElement, readElement } from "#pkg/util/index.ts";

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OBJECT_IDENTIFIER = 0x06;

interface Algorithm {
  readonly digest: string | null;
  readonly key: string;
  /** What Go says of a signature that is not the key's. */
  readonly failure: string;
}
const rsa = (digest: string): Algorithm => ({ digest, key: "rsa", failure: "crypto/rsa: verification error" });
const ecdsa = (digest: string): Algorithm => ({ digest, key: "ec", failure: "x509: ECDSA verification failure" });

/** Signature algorithms by the hexadecimal contents of their object identifiers. */
const ALGORITHMS: Readonly<Record<string, Algorithm>> = {
  "2a864886f70d010105": rsa("sha1"),
  "2a864886f70d01010b": rsa("sha256"),
  "2a864886f70d01010c": rsa("sha384"),
  "2a864886f70d01010d": rsa("sha512"),
  "2a8648ce3d0401": ecdsa("sha1"),
  "2a8648ce3d040302": ecdsa("sha256"),
  "2a8648ce3d040303": ecdsa("sha384"),
  "2a8648ce3d040304": ecdsa("sha512"),
  "2b6570": { digest: null, key: "ed25519", failure: "x509: Ed25519 verification failure" },
};
const RSA_PSS = "2a864886f70d01010a";
const MD5_WITH_RSA = "2a864886f70d010104";
/** Hashes of PSS by the size of their digest, which upstream takes for the length of the salt. */
const PSS_DIGESTS = ["sha256", "sha384", "sha512"] as const;

const PEM_BLOCK = /^-----BEGIN ([^\n]*?)-----[ \t]*\r?\n([A-Za-z0-9+/=\s]*?)-----END \1-----/m;

/** Why the text is no certificate request in PEM, signed with its own key; undefined when it is one. */
export function requestProblem(pem: string): string | undefined {
  const [, type, body = ""] = PEM_BLOCK.exec(pem) ?? [];
  if (type !== "CERTIFICATE REQUEST") return "PEM block type must be CERTIFICATE REQUEST";
  const der = Buffer.from(body, "base64");
  if (der.length === 0) return "asn1: syntax error: sequence truncated";
  try {
    return signatureProblem(der);
  } catch (error) {
    if (error instanceof RangeError) return "asn1: syntax error: data truncated";
    if (error instanceof MalformedError) return error.message;
    throw error;
  }
}

class MalformedError extends Error {}

function expectTag(element: DerElement | undefined, tag: number): DerElement {
  if (element === undefined) throw new MalformedError("asn1: syntax error: sequence truncated");
  if (element.tag !== tag) throw new MalformedError("asn1: structure error: tags don't match");
  return element;
}

function signatureProblem(der: Buffer): string | undefined {
  const whole = expectTag(readElement(der, 0), SEQUENCE);
  if (whole.end !== der.length) return "asn1: syntax error: trailing data";
  const [info, algorithm, signature] = children(der, whole);
  const [version, subject, publicKey] = children(der, expectTag(info, SEQUENCE));
  expectTag(version, INTEGER);
  expectTag(subject, SEQUENCE);
  const spki = expectTag(publicKey, SEQUENCE);
  const identifier = expectTag(children(der, expectTag(algorithm, SEQUENCE))[0], OBJECT_IDENTIFIER);
  const bits = expectTag(signature, BIT_STRING);
  if (der[bits.contents] !== 0) return "asn1: syntax error: invalid padding bits in BIT STRING";
  const oid = der.toString("hex", identifier.contents, identifier.end);
  return verificationProblem(
    oid,
    publicKeyOf(der.subarray(spki.start, spki.end)),
    der.subarray(info!.start, info!.end),
    der.subarray(bits.contents + 1, bits.end),
  );
}

function publicKeyOf(spki: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spki, format: "der", type: "spki" });
  } catch (cause) {
    throw new MalformedError("x509: invalid public key", { cause });
  }
}

function verificationProblem(oid: string, key: KeyObject, data: Buffer, signature: Buffer): string | undefined {
  if (oid === MD5_WITH_RSA) return "x509: cannot verify signature: insecure algorithm MD5-RSA";
  if (oid === RSA_PSS) {
    const padding = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
    const good = key.asymmetricKeyType?.startsWith("rsa") === true;
    return good && PSS_DIGESTS.some((digest) => verify(digest, data, padding, signature))
      ? undefined
      : "crypto/rsa: verification error";
  }
  const algorithm = ALGORITHMS[oid];
  if (algorithm === undefined) return "x509: cannot verify signature: algorithm unimplemented";
  if (key.asymmetricKeyType !== algorithm.key) return "x509: signature algorithm specifies another type of public key";
  return verify(algorithm.digest, data, key, signature) ? undefined : algorithm.failure;
}
