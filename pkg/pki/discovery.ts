import { createHash, createHmac, createPublicKey, timingSafeEqual } from "node:crypto";

/**
 * How a node that knows only a bootstrap token learns whom to trust, as kubeadm does it: kube-public/cluster-info, which
 * anybody may read, carries a signature under each token's secret, and the join command carries a hash of the CA's key.
 */

/** A bootstrap token: public id and secret. */
export interface BootstrapToken {
  readonly id: string;
  readonly secret: string;
}

/** Reads "abcdef.0123456789abcdef"; undefined for anything else. */
export function parseBootstrapToken(text: string): BootstrapToken | undefined {
  const match = /^([a-z0-9]{6})\.([a-z0-9]{16})$/.exec(text);
  return match === null ? undefined : { id: match[1]!, secret: match[2]! };
}

/** A detached JWS (RFC 7515 appendix F) of the content, HS256 under the token's secret. */
export function detachedSignature(content: string, { id, secret }: BootstrapToken): string {
  const header = Buffer.from(JSON.stringify({ alg: "HS256", kid: id })).toString("base64url");
  const payload = Buffer.from(content).toString("base64url");
  const signature = createHmac("sha256", secret).update(`${header}.${payload}`).digest("base64url");
  return `${header}..${signature}`;
}

/**
 * Does the signature prove that whoever wrote the content knows the token? The header is taken as it came (others write
 * its fields in another order), but only HS256 counts.
 */
export function hasDetachedSignature(content: string, signature: string, { id, secret }: BootstrapToken): boolean {
  const [header = "", payload, mac = "", ...rest] = signature.split(".");
  if (payload !== "" || rest.length > 0) return false;
  const fields = jsonOf(header);
  if (fields?.["alg"] !== "HS256" || fields["kid"] !== id) return false;
  const signed = `${header}.${Buffer.from(content).toString("base64url")}`;
  const expected = createHmac("sha256", secret).update(signed).digest();
  const given = Buffer.from(mac, "base64url");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function jsonOf(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // not JSON: no header of a signature
  }
}

/** "sha256:" and the hash of a certificate's public key (RFC 7469), by which a join command names the CA. */
export function publicKeyPin(certificatePem: string): string {
  const spki = createPublicKey(certificatePem).export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(spki).digest("hex")}`;
}
