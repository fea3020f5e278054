import { createHash } from "node:crypto";
import { children, type DerElement, readElement } from "#pkg/util/index.ts";
import { textOf, timeOf } from "./der.ts";

/** What authentication needs to know of a client certificate. */
export interface PeerCertificate {
  /** The last CN of the subject; "" when there is none. */
  readonly commonName: string;
  /** All O values in order. */
  readonly organizations: readonly string[];
  /** The user UID attribute (1.3.6.1.4.1.57683.2), if the subject has one. */
  readonly uid: string | undefined;
  /** Epoch milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string;
}

const OID_COMMON_NAME = "550403";
const OID_ORGANIZATION = "55040a";
/** 1.3.6.1.4.1.57683.2, the attribute upstream reads a user's UID from. */
const OID_KUBERNETES_UID = "2b0601040183c25302";

function attributesOf(der: Uint8Array, name: DerElement): { oid: string; value: string }[] {
  const found: { oid: string; value: string }[] = [];
  for (const set of children(der, name)) {
    for (const attribute of children(der, set)) {
      const [oid, value] = children(der, attribute);
      if (oid === undefined || value === undefined) throw new RangeError("malformed name attribute");
      found.push({
        oid: Buffer.from(der.subarray(oid.contents, oid.end)).toString("hex"),
        value: textOf(der, value),
      });
    }
  }
  return found;
}

/**
 * Reads subject and validity straight from the DER, without building a certificate object: this runs once per
 * connection. Proves nothing; the signature is checked elsewhere.
 * @throws RangeError for bytes that are not a certificate.
 */
export function parsePeerCertificate(der: Uint8Array): PeerCertificate {
  const [tbs] = children(der, readElement(der, 0));
  if (tbs === undefined) throw new RangeError("not a certificate");
  const fields = children(der, tbs);
  // version [0] is optional: absent in X.509 v1.
  const first = fields[0]?.tag === 0xa0 ? 1 : 0;
  const validity = fields[first + 3];
  const subject = fields[first + 4];
  if (validity === undefined || subject === undefined) throw new RangeError("not a certificate");
  const [notBefore, notAfter] = children(der, validity);
  if (notBefore === undefined || notAfter === undefined) throw new RangeError("certificate has no validity");
  const period = { notBefore: timeOf(der, notBefore), notAfter: timeOf(der, notAfter) };
  // A time nobody can read would compare as neither past nor future.
  if (Number.isNaN(period.notBefore) || Number.isNaN(period.notAfter)) throw new RangeError("malformed validity");
  const attributes = attributesOf(der, subject);
  const valuesOf = (oid: string): string[] => attributes.filter((a) => a.oid === oid).map((a) => a.value);
  return {
    commonName: valuesOf(OID_COMMON_NAME).at(-1) ?? "",
    organizations: valuesOf(OID_ORGANIZATION),
    uid: valuesOf(OID_KUBERNETES_UID)[0],
    ...period,
    fingerprint: createHash("sha256").update(der).digest("hex"),
  };
}
