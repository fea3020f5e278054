import { CelError } from "../errors.ts";
import { declare, type Overload } from "../functions.ts";
import { ArrayList, EntryMap, Opaque, type Value } from "../values.ts";

/** RFC 3986 parts as Go's net/url.ParseRequestURI keeps them: an absolute URL, or an absolute path. */
class Url extends Opaque {
  readonly typeName = "kubernetes.URL";
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;
  /** What a URL without host and path is about. */
  readonly opaque: string;
  constructor(scheme: string, host: string, path: string, query: string, about = "") {
    super();
    this.scheme = scheme;
    this.host = host;
    this.path = path;
    this.query = query;
    this.opaque = about;
  }
  equals(other: Opaque): boolean {
    return other instanceof Url && other.toString() === this.toString();
  }
  override toString(): string {
    const scheme = this.scheme === "" ? "" : `${this.scheme}:`;
    const authority = this.host === "" ? scheme + this.opaque : `${scheme}//${this.host}`;
    return `${authority}${this.path}${this.query === "" ? "" : `?${this.query}`}`;
  }
}

const SCHEME = /^([a-zA-Z][a-zA-Z0-9+.-]*):(.*)$/s;
/** Authority, path and query; what follows # is none of a request's business. */
const HIERARCHICAL = /^\/\/([^/?]*)(\/[^?#]*)?(?:\?([^#]*))?(?:#.*)?$/s;
const PATH = /^(\/[^?#]*)(?:\?([^#]*))?(?:#.*)?$/s;
/** Without slashes after the scheme there is neither host nor path ("mailto:somebody"). */
const OPAQUE = /^([^/?#][^?#]*)(?:\?([^#]*))?(?:#.*)?$/s;
const NOT_IN_HOSTS = /[\s#\\^`{|}]/;
const BAD_ESCAPE = /%(?![0-9a-fA-F]{2})/;

function parse(text: string): Url | undefined {
  const hasControl = Array.from(text).some((character) => character < " " || character === "\u007f");
  // Nobody looks at the escapes of a query before it is taken apart.
  if (hasControl || BAD_ESCAPE.test(text.split("?", 1)[0]!)) return undefined;
  if (text === "*") return new Url("", "", text, "");
  const path = PATH.exec(text);
  if (path !== null) return new Url("", "", path[1]!, path[2] ?? "");
  const [, scheme, rest] = SCHEME.exec(text) ?? [];
  if (scheme === undefined || rest === undefined) return undefined;
  const opaque = OPAQUE.exec(rest);
  if (opaque !== null) return new Url(scheme.toLowerCase(), "", "", opaque[2] ?? "", opaque[1]);
  const rooted = PATH.exec(rest);
  if (rooted !== null && !rest.startsWith("//")) return new Url(scheme.toLowerCase(), "", rooted[1]!, rooted[2] ?? "");
  const match = HIERARCHICAL.exec(rest);
  if (match === null) return undefined;
  const host = match[1]!.slice(match[1]!.lastIndexOf("@") + 1);
  const port = /:(\d*)$/.exec(host);
  if (host.startsWith("[") && !host.includes("]")) return undefined;
  if (NOT_IN_HOSTS.test(host) || (host.replace(/^\[[^\]]*\]/, "").includes(":") && port === null)) return undefined;
  return new Url(scheme.toLowerCase(), host, match[2] ?? "", match[3] ?? "");
}
function url(text: string): Url {
  const parsed = parse(text);
  if (parsed === undefined)
    throw new CelError(
      `URL parse error during conversion from string: parse ${JSON.stringify(text)}: invalid URI for request`,
    );
  return parsed;
}
const hostname = ({ host }: Url): string => /^\[([^\]]*)\]/.exec(host)?.[1] ?? host.replace(/:\d*$/, "");
const port = ({ host }: Url): string => /:(\d+)$/.exec(host.replace(/^\[[^\]]*\]/, ""))?.[1] ?? "";
function query({ query: text }: Url): EntryMap {
  const values = new Map<string, string[]>();
  // Go passes over what it cannot read: semicolons that once separated, and escapes that are none.
  const pairs = text.split("&").filter((pair) => !pair.includes(";") && !BAD_ESCAPE.test(pair));
  for (const [name, value] of new URLSearchParams(pairs.join("&")))
    values.set(name, [...(values.get(name) ?? []), value]);
  return new EntryMap(
    new Map([...values].map(([name, list]): [string, [Value, Value]] => [`s${name}`, [name, new ArrayList(list)]])),
  );
}
const escapePath = (path: string): string =>
  path.replaceAll(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]/gu, (character) => encodeURIComponent(character));

/** Kubernetes' URL functions (apiserver/pkg/cel/library/urls.go). */
export const urlLibrary: readonly Overload[] = [
  declare("url", "(string) -> kubernetes.URL", url, { traverses: [0], resultSize: (sizes) => sizes.of(0) }),
  declare("isURL", "(string) -> bool", (text: string) => parse(text) !== undefined),
  declare("getScheme", "kubernetes.URL.() -> string", ({ scheme }: Url) => scheme),
  declare("getHost", "kubernetes.URL.() -> string", ({ host }: Url) => host),
  declare("getHostname", "kubernetes.URL.() -> string", hostname),
  declare("getPort", "kubernetes.URL.() -> string", port),
  declare("getEscapedPath", "kubernetes.URL.() -> string", ({ path }: Url) => escapePath(path)),
  declare("getQuery", "kubernetes.URL.() -> map<string, list<string>>", query),
];
