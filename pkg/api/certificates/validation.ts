import { X509Certificate } from "node:crypto";
import { goQuote, isDns1123Label, isDns1123Subdomain } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
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
  sameValue,
  tooLong,
} from "../validation/rules.ts";
import { describeDifference } from "../core/validation/difference.ts";

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
const MAX_DOMAIN = 253;
const MAX_SIGNER_LENGTH = 571;

/** Errors of the first label that is wrong: those of the others would say the same. */
function validateLabels(segment: string, isLabel: (text: string) => readonly string[], path: string): FieldError[] {
  for (const label of segment.split(".")) {
    const messages = isLabel(label);
    if (messages.length === 0) continue;
    return messages.map((message) => invalid(path, segment, `validating label ${goQuote(label)}: ${message}`));
  }
  return [];
}

/** A domain and a path, as in example.com/signer-name. */
function validateSignerName(name: string, path: string): FieldError[] {
  if (name === "") return [required(path, "signerName must be provided")];
  const segments = name.split("/");
  const [domain = "", rest = ""] = segments;
  if (segments.length !== 2) {
    return [invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")];
  }
  return [
    ...(domain.length > MAX_DOMAIN ? [tooLong(path, MAX_DOMAIN)] : []),
    ...validateLabels(domain, isDns1123Label, path),
    ...(domain.includes(".")
      ? []
      : [invalid(path, domain, "should be a domain with at least two segments separated by dots")]),
    ...validateLabels(rest, isDns1123Subdomain, path),
    ...(name.length > MAX_SIGNER_LENGTH ? [tooLong(path, MAX_SIGNER_LENGTH)] : []),
  ];
}

function validateRequest(request: string | undefined): FieldError[] {
  const why = requestProblem(Buffer.from(request ?? "", "base64").toString("latin1"));
  return why === undefined ? [] : [invalid("spec.request", request ?? "", `unable to parse csr: ${why}`)];
}

export function validateCertificateSigningRequest(request: CertificateSigningRequest): FieldError[] {
  const { spec } = request;
  const errors = validateRequest(spec.request);
  const usages = spec.usages ?? [];
  if (usages.length === 0) errors.push(required("spec.usages", "usages must be provided"));
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

const FINAL_CONDITIONS = ["Approved", "Denied", "Failed"];
const ALL_STATUSES = ["False", "True", "Unknown"];

function validateConditions({ status }: CertificateSigningRequest): FieldError[] {
  const seen = new Set<string>();
  return each(status?.conditions, "status.conditions", ({ type, status: state }, at) => {
    const found: FieldError[] = [];
    if (isEmpty(type)) found.push(required(`${at}.type`));
    const allowed = FINAL_CONDITIONS.includes(type) ? ["True"] : ALL_STATUSES;
    if (isEmpty(state)) found.push(required(`${at}.status`));
    else if (!allowed.includes(state)) found.push(notSupported(`${at}.status`, state, allowed));
    const opposite = type === "Approved" ? "Denied" : type === "Denied" ? "Approved" : undefined;
    if (opposite !== undefined && seen.has(opposite)) {
      found.push(invalid(`${at}.type`, type, "Approved and Denied conditions are mutually exclusive"));
    }
    if (seen.has(type)) found.push(duplicate(`${at}.type`, type));
    seen.add(type);
    return found;
  });
}

/** Approval, denial and failure are final; approval and denial are settled by their own subresource alone. */
function validateFinal(
  request: CertificateSigningRequest,
  old: Readonly<CertificateSigningRequest>,
  approves: boolean,
): FieldError[] {
  const of = (from: Readonly<CertificateSigningRequest>, type: string) =>
    (from.status?.conditions ?? []).filter((condition) => condition.type === type);
  const may = (what: string, type: string, difference = "") =>
    forbidden("status.conditions", `updates may not ${what} a condition of type ${goQuote(type)}${difference}`);
  const errors: FieldError[] = [];
  for (const type of FINAL_CONDITIONS) {
    if (of(request, type).length < of(old, type).length) errors.push(may("remove", type));
  }
  if (approves) return errors;
  for (const type of ["Approved", "Denied"]) {
    const [before, after] = [of(old, type), of(request, type)];
    if (after.length > before.length) errors.push(may("add", type));
    else if (after.length === before.length && !sameValue(before, after)) {
      errors.push(may("modify", type, `\n${describeDifference(before, after, "status.conditions")}`));
    }
  }
  return errors;
}

export function validateRequestApproval(
  request: CertificateSigningRequest,
  old: Readonly<CertificateSigningRequest>,
): FieldError[] {
  return [...validateConditions(request), ...validateFinal(request, old, true)];
}

export function validateRequestStatus(
  request: CertificateSigningRequest,
  old: Readonly<CertificateSigningRequest>,
): FieldError[] {
  const errors = validateConditions(request);
  const [before, after] = [old.status?.certificate ?? "", request.status?.certificate ?? ""];
  const problem = before === after ? undefined : certificateProblem(Buffer.from(after, "base64").toString("latin1"));
  if (problem !== undefined) errors.push(invalid("status.certificate", "<certificate data>", problem));
  errors.push(...validateFinal(request, old, false));
  if (before !== after && before !== "") {
    errors.push(forbidden("status.certificate", "updates may not modify existing certificate content"));
  }
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
      return `x509: malformed certificate: ${errorMessage(err)}`;
    }
    blocks++;
  }
  return blocks === 0 ? "must contain at least one CERTIFICATE PEM block" : undefined;
}
