/** Where a webhook is: what admission and the conversion of custom resources ask of it alike. */
import { goQuote, isDns1035Label, isDns1123Subdomain, isValidPortNumber } from "#pkg/apimachinery/index.ts";
import { allInvalid, each, type FieldError, invalid, isEmpty, required } from "./rules.ts";

/** The parts of RFC 3986: scheme, authority, path, query and fragment, each absent or as it is written. */
const PARTS = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#([^]*))?$/;

/** Why Go's net/url does not read it; undefined: it does, whatever it means. */
function urlProblem(url: string): string | undefined {
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(url)) return "net/url: invalid control character in URL";
  if (url.startsWith(":")) return "missing protocol scheme";
  const escape = /%(?![0-9A-Fa-f]{2}).{0,2}/.exec(url);
  if (escape !== null) return `invalid URL escape ${goQuote(escape[0])}`;
  const [, scheme, authority, path = ""] = PARTS.exec(url)!;
  if (scheme === undefined && authority === undefined && path.split("/", 1)[0]!.includes(":")) {
    return "first path segment in URL cannot contain colon";
  }
  const port = /:[^\]@:]*$/.exec(authority?.replace(/^.*@/, "") ?? "")?.[0] ?? "";
  return /^(?::[0-9]*)?$/.test(port) ? undefined : `invalid port ${goQuote(port)} after host`;
}

/** Webhooks are called by https at a host, with nothing in the URL that is not host or path. */
export function validateWebhookUrl(url: string, path: string): FieldError[] {
  const form = "; desired format: https://host[/path]";
  const problem = urlProblem(url);
  if (problem !== undefined) {
    return [required(path, `url must be a valid URL: parse ${goQuote(url)}: ${problem}${form}`)];
  }
  const [, scheme = "", authority = "", , query = "", fragment = ""] = PARTS.exec(url)!;
  const at = authority.lastIndexOf("@");
  const host = authority.slice(at + 1);
  const errors: FieldError[] = [];
  const add = (value: string, why: string) => errors.push(invalid(path, value, why));
  if (scheme.toLowerCase() !== "https") {
    add(scheme.toLowerCase(), `'https' is the only allowed URL scheme${form}`);
  }
  if (host === "") add(host, `host must be specified${form}`);
  if (at >= 0) add(authority.slice(0, at), "user information is not permitted in the URL");
  if (fragment !== "") add(fragment, "fragments are not permitted in the URL");
  if (query !== "") add(query, "query parameters are not permitted in the URL");
  return errors;
}

interface WebhookService {
  readonly namespace?: string;
  readonly name?: string;
  readonly path?: string;
  readonly port?: number;
}

export function validateWebhookService(service: WebhookService, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["name", "namespace"] as const) {
    if (isEmpty(service[field])) errors.push(required(`${path}.${field}`));
  }
  const { port } = service;
  for (const message of port === undefined ? [] : isValidPortNumber(port)) {
    errors.push(invalid(`${path}.port`, port, `port is not valid: ${message}`));
  }
  return [...errors, ...validateServicePath(service.path ?? "", `${path}.path`)];
}

function validateServicePath(urlPath: string, path: string): FieldError[] {
  if (urlPath === "" || urlPath === "/") return [];
  const wrong = (why: string) => invalid(path, urlPath, why);
  if (urlPath === "//") return [wrong("segment[0] may not be empty")];
  const segments = urlPath.slice(1).replace(/\/$/, "").split("/");
  return [
    ...(urlPath.startsWith("/") ? [] : [wrong("must start with a '/'")]),
    ...segments.flatMap((segment, index) =>
      segment === ""
        ? [wrong(`segment[${index}] may not be empty`)]
        : isDns1123Subdomain(segment).map((message) => wrong(`segment[${index}]: ${message}`)),
    ),
  ];
}

/** Versions of the reviews that the webhook reads, of which the server must speak one. */
export function validateReviewVersions(versions: readonly string[], path: string, ifNone = ""): FieldError[] {
  if (versions.length === 0) return [required(path, ifNone)];
  const seen = new Set<string>();
  const errors = each(versions, path, (version, at) => {
    if (seen.has(version)) return [invalid(at, version, "duplicate version")];
    seen.add(version);
    return allInvalid(at, version, isDns1035Label(version));
  });
  if (seen.has("v1") || seen.has("v1beta1")) return errors;
  return [...errors, invalid(path, versions, "must include at least one of v1, v1beta1")];
}
