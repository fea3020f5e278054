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
  constructor(scheme: string, host: string, path: string, query: string) {
    super();
    this.scheme = scheme;
    this.host = host;
    this.path = path;
    this.query = query;
  }
  equals(other: Opaque): boolean {
    return other instanceof Url && other.toString() === this.toString();
  }
  override toString(): string {
    const authority = this.host === "" && this.scheme === "" ? "" : `${this.scheme}://${this.host}`;
    return `${authority}${this.path}${this.query === "" ? "" : `?${this.query}`}`;
  }
}

const ABSOLUTE = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/;
const PATH = /^(\/[^?#]*)(?:\?([^#]*))?$/;

function parse(text: string): Url | undefined {
  if (
    Array.from(text).some((character) => character <= " " || character === "\u007f") ||
    /%(?![0-9a-fA-F]{2})/.test(text)
  )
    return undefined;
  const path = PATH.exec(text);
  if (path !== null) return new Url("", "", path[1]!, path[2] ?? "");
  const match = ABSOLUTE.exec(text);
  if (match === null) return undefined;
  const host = match[2]!.slice(match[2]!.lastIndexOf("@") + 1);
  const port = /:(\d*)$/.exec(host);
  if (host.replace(/^\[[^\]]*\]/, "").includes(":") && port === null) return undefined;
  return new Url(match[1]!.toLowerCase(), host, match[3] ?? "", match[4] ?? "");
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
  for (const [name, value] of new URLSearchParams(text)) values.set(name, [...(values.get(name) ?? []), value]);
  return new EntryMap(
    new Map([...values].map(([name, list]): [string, [Value, Value]] => [`s${name}`, [name, new ArrayList(list)]])),
  );
}
const escapePath = (path: string): string =>
  path.replaceAll(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]/gu, (character) => encodeURIComponent(character));

/** Kubernetes' URL functions (apiserver/pkg/cel/library/urls.go). */
export const urlLibrary: readonly Overload[] = [
  declare("url", "(string) -> kubernetes.URL", url, { traverses: [0] }),
  declare("isURL", "(string) -> bool", (text: string) => parse(text) !== undefined, { traverses: [0] }),
  declare("getScheme", "kubernetes.URL.() -> string", ({ scheme }: Url) => scheme),
  declare("getHost", "kubernetes.URL.() -> string", ({ host }: Url) => host),
  declare("getHostname", "kubernetes.URL.() -> string", hostname),
  declare("getPort", "kubernetes.URL.() -> string", port),
  declare("getEscapedPath", "kubernetes.URL.() -> string", ({ path }: Url) => escapePath(path)),
  declare("getQuery", "kubernetes.URL.() -> map<string, list<string>>", query),
];
