import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";

/** JWS algorithms accepted and produced. `none` and HMAC are not among them, so they cannot be confused in. */
const HASHES = {
  RS256: "sha256",
  RS384: "sha384",
  RS512: "sha512",
  ES256: "sha256",
  ES384: "sha384",
  ES512: "sha512",
} as const;
export type Algorithm = keyof typeof HASHES;
const EC_ALGORITHMS: Readonly<Record<string, Algorithm>> = {
  prime256v1: "ES256",
  secp384r1: "ES384",
  secp521r1: "ES512",
};

export function isAlgorithm(name: string): name is Algorithm {
  return Object.hasOwn(HASHES, name);
}

export interface VerificationKey {
  readonly key: KeyObject;
  readonly keyId: string;
  readonly algorithm: Algorithm;
}
export interface SigningKey extends VerificationKey {
  readonly privateKey: KeyObject;
}

export interface DecodedJwt {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Key ID as upstream derives it: SHA-256 of the public key's DER, base64url. */
function keyIdOf(key: KeyObject): string {
  return createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("base64url");
}

function algorithmOf(key: KeyObject): Algorithm {
  if (key.asymmetricKeyType === "rsa") return "RS256";
  const algorithm = EC_ALGORITHMS[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (key.asymmetricKeyType !== "ec" || algorithm === undefined) {
    throw new TypeError(`unsupported service account key type ${key.asymmetricKeyType ?? "unknown"}`);
  }
  return algorithm;
}

/** A public (or private) key in PEM as a verification key. @throws TypeError for key types that cannot sign tokens. */
export function verificationKey(pem: string): VerificationKey {
  const key = createPublicKey(pem);
  return { key, keyId: keyIdOf(key), algorithm: algorithmOf(key) };
}
export function signingKey(pem: string): SigningKey {
  return { ...verificationKey(pem), privateKey: createPrivateKey(pem) };
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Signs off the main thread (RSA takes about a millisecond). */
export function signJwt(key: SigningKey, claims: object): Promise<string> {
  const input = `${encode({ alg: key.algorithm, kid: key.keyId })}.${encode(claims)}`;
  return new Promise((resolve, reject) => {
    sign(
      HASHES[key.algorithm],
      Buffer.from(input),
      { key: key.privateKey, dsaEncoding: "ieee-p1363" },
      (error, signature) => {
        if (error !== null) reject(error);
        else resolve(`${input}.${signature.toString("base64url")}`);
      },
    );
  });
}

function parseObject(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined; // not JSON: not a JWT, which is an answer and not a failure
  }
}

/** Splits a compact JWS without verifying it; undefined when the text is not one. */
export function decodeJwt(token: string): DecodedJwt | undefined {
  const parts = token.split(".");
  if (parts.length !== 3) return undefined;
  const header = parseObject(parts[0]!);
  const claims = parseObject(parts[1]!);
  return header === undefined || claims === undefined ? undefined : { header, claims };
}

/** Does one of the keys verify the token's signature? The algorithm must be the key's own. */
export function verifySignature(token: string, { header }: DecodedJwt, keys: readonly VerificationKey[]): boolean {
  const dot = token.lastIndexOf(".");
  const input = Buffer.from(token.slice(0, dot));
  const signature = Buffer.from(token.slice(dot + 1), "base64url");
  const wanted = keys.filter(({ keyId }) => header["kid"] === keyId);
  return (wanted.length > 0 ? wanted : keys).some(
    ({ key, algorithm }) =>
      header["alg"] === algorithm && verify(HASHES[algorithm], input, { key, dsaEncoding: "ieee-p1363" }, signature),
  );
}

/** A public key as a member of a JWK set. */
export function jwkOf({ key, keyId, algorithm }: VerificationKey): Record<string, unknown> {
  return { use: "sig", ...key.export({ format: "jwk" }), kid: keyId, alg: algorithm };
}
