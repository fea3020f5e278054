import { X509Certificate } from "node:crypto";
import { isDns1123Label, isDns1123Subdomain } from "#pkg/apimachinery/index.ts";
import type { CertificateSigningRequest } from "../types/certificates-v1.ts";
import { requestProblem } from "./pkcs10.ts";
import {
  duplicate,
  each,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  notSupported,
  required,
} from "../validation/rules.ts";

const USAGES = [
  "any",
  "cert sign",
  "client auth",
  "code signing",
  "content commitment",
  "crl sign",
  "data encipherment",
  "decipher only",
  "digital signature",
  "email protection",
  "encipher only",
  "ipsec end system",
  "ipsec tunnel",
  "ipsec user",
  "key agreement",
  "key encipherment",
  "microsoft sgc",
  "netscape sgc",
  "ocsp signing",
  "s/mime",
  "server auth",
  "signing",
  "timestamping",
];
const PEM_BLOCK = /^-----BEGIN ([^\n]*?)-----[ \t]*\r?\n([^-]*)-----END \1-----/gm;
const MIN_EXPIRATION_SECONDS = 600;
const LEGACY_SIGNER = "kubernetes.io/legacy-unknown";
const MAX_SIGNER_LENGTH = 571;

/** A domain and a path, as in example.com/signer-name. */
function validateSignerName(name: string, path: string): FieldError[] {
  if (name === "") return [required(path)];
  const slash = name.indexOf("/");
  if (slash < 0 || name.indexOf("/", slash + 1) >= 0) {
    return [invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")];
  }
  const [domain, rest] = [name.slice(0, slash), name.slice(slash + 1)];
  const errors: FieldError[] = [];
  for (const message of isDns1123Subdomain(domain)) {
    errors.push(invalid(path, domain, `validating label ${JSON.stringify(domain)}: ${message}`));
  }
  if (!domain.includes(".")) {
    errors.push(invalid(path, domain, "should be a domain with at least two segments separated by dots"));
  }
  for (const label of rest.split(".")) {
    for (const message of isDns1123Label(label)) {
      errors.push(invalid(path, label, `validating label ${JSON.stringify(label)}: ${message}`));
    }
  }
  if (name.length > MAX_SIGNER_LENGTH) {
    errors.push(invalid(path, name, `must be no more than ${MAX_SIGNER_LENGTH} characters`));
  }
  return errors;
}

function validateRequest(request: string | undefined): FieldError[] {
  const why = requestProblem(Buffer.from(request ?? "", "base64").toString("latin1"));
  return why === undefined ? [] : [invalid("spec.request", request ?? "", `unable to parse csr: ${why}`)];
}

export function validateCertificateSigningRequest(request: CertificateSigningRequest): FieldError[] {
  const { spec } = request;
  const errors = validateRequest(spec.request);
  const usages = spec.usages ?? [];
  if (usages.length === 0) errors.push(required("spec.usages"));
  const seen = new Set<string>();
  errors.push(
    ...each(usages, "spec.usages", (usage, at) => {
      const found = USAGES.includes(usage) ? [] : [notSupported(at, usage, USAGES)];
      if (seen.has(usage)) found.push(duplicate(at, usage));
      seen.add(usage);
      return found;
    }),
  );
  if (spec.signerName === LEGACY_SIGNER) {
    errors.push(
      invalid("spec.signerName", spec.signerName, "the legacy signerName is not allowed via this API version"),
    );
  } else errors.push(...validateSignerName(spec.signerName ?? "", "spec.signerName"));
  if (spec.expirationSeconds !== undefined && spec.expirationSeconds < MIN_EXPIRATION_SECONDS) {
    const why = `may not specify a duration less than ${MIN_EXPIRATION_SECONDS} seconds (10 minutes)`;
    errors.push(invalid("spec.expirationSeconds", spec.expirationSeconds, why));
  }
  return errors;
}

function validateConditions({ status }: CertificateSigningRequest): FieldError[] {
  const conditions = status?.conditions ?? [];
  const seen = new Set<string>();
  const errors = each(conditions, "status.conditions", ({ type, status: state }, at) => {
    const found: FieldError[] = [];
    if (isEmpty(type)) found.push(required(`${at}.type`));
    else if (seen.has(type)) found.push(duplicate(`${at}.type`, type));
    seen.add(type);
    if (isEmpty(state)) found.push(required(`${at}.status`));
    else if (["Approved", "Denied", "Failed"].includes(type)) {
      if (state !== "True") found.push(notSupported(`${at}.status`, state, ["True"]));
    } else if (!["False", "True", "Unknown"].includes(state)) {
      found.push(notSupported(`${at}.status`, state, ["False", "True", "Unknown"]));
    }
    return found;
  });
  const denied = conditions.findIndex(({ type }) => type === "Denied");
  const approved = conditions.findIndex(({ type }) => type === "Approved");
  if (denied >= 0 && approved >= 0) {
    const at = `status.conditions[${Math.max(denied, approved)}].type`;
    errors.push(
      invalid(
        at,
        conditions[Math.max(denied, approved)]!.type,
        "Approved and Denied conditions are mutually exclusive",
      ),
    );
  }
  return errors;
}

/** Approval, denial and failure are final, and only the door made for each may change it. */
function validateFinal(
  request: CertificateSigningRequest,
  old: Readonly<CertificateSigningRequest>,
  settable: readonly string[],
): FieldError[] {
  const errors: FieldError[] = [];
  for (const type of ["Approved", "Denied", "Failed"]) {
    const of = (from: Readonly<CertificateSigningRequest>) =>
      (from.status?.conditions ?? []).filter((condition) => condition.type === type).length;
    const [before, after] = [of(old), of(request)];
    if (before > after)
      errors.push(forbidden("status.conditions", `updates may not remove a condition of type "${type}"`));
    else if (after > before && !settable.includes(type)) {
      errors.push(forbidden("status.conditions", `updates may not add a condition of type "${type}"`));
    }
  }
  return errors;
}

export function validateRequestApproval(
  request: CertificateSigningRequest,
  old: Readonly<CertificateSigningRequest>,
): FieldError[] {
  return [...validateConditions(request), ...validateFinal(request, old, ["Approved", "Denied"])];
}

export function validateRequestStatus(
  request: CertificateSigningRequest,
  old: Readonly<CertificateSigningRequest>,
): FieldError[] {
  const errors = [...validateConditions(request), ...validateFinal(request, old, ["Failed"])];
  const [before, after] = [old.status?.certificate ?? "", request.status?.certificate ?? ""];
  if (before === after) return errors;
  const problem = certificateProblem(Buffer.from(after, "base64").toString("latin1"));
  if (problem !== undefined) errors.push(invalid("status.certificate", "<certificate data>", problem));
  if (before !== "")
    errors.push(forbidden("status.certificate", "updates may not modify existing certificate content"));
  return errors;
}

/** What keeps the text from being one or more certificates in PEM and nothing else; text around the blocks is allowed. */
function certificateProblem(pem: string): string | undefined {
  if (pem === "") return undefined;
  let blocks = 0;
  for (const [, type, body = ""] of pem.matchAll(PEM_BLOCK)) {
    if (type !== "CERTIFICATE") return `only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(type)}`;
    if (body.includes(":")) return "no PEM block headers are permitted";
    const der = Buffer.from(body, "base64");
    if (der.length === 0) return "found CERTIFICATE PEM block containing 0 certificates";
    try {
      new X509Certificate(der);
    } catch (err) {
      return `x509: malformed certificate: ${err instanceof Error ? err.message : String(err)}`;
    }
    blocks++;
  }
  return blocks === 0 ? "must contain at least one CERTIFICATE PEM block" : undefined;
}
