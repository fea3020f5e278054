import { isIPv6 } from "node:net";

/** Client side of TLS towards a backend. */
export interface BackendTls {
  /** PEM of the certificate we present. */
  readonly cert?: string;
  readonly key?: string;
  /** PEM; without it the backend's certificate is not verified, as upstream does for kubelets by default. */
  readonly ca?: string;
  /** Name the certificate must be for, where that is not the host. */
  readonly servername?: string;
}

/** Where a proxied request goes. */
export interface Backend {
  readonly tls: BackendTls | undefined;
  readonly host: string;
  readonly port: number;
  /** Path and query, encoded. */
  readonly path: string;
}

/** "10.0.0.1:80" or "[fd00::1]:80": the Host header and the form used in messages. */
export function authority({ host, port }: Pick<Backend, "host" | "port">): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** Headers that speak about one connection and not about the message (RFC 9110 §7.6.1). */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** The headers that travel on; what the connection header names stays behind too. */
export function endToEndHeaders(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): Record<string, string | string[]> {
  const named = new Set(
    String(headers["connection"] ?? "")
      .toLowerCase()
      .split(",")
      .map((name) => name.trim()),
  );
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":") || HOP_BY_HOP.has(name) || named.has(name)) continue;
    kept[name] = typeof value === "string" ? value : [...value];
  }
  return kept;
}

/** Headers of a client's request for the backend: its credentials are for us and go no further. */
export function requestHeaders(
  headers: Readonly<Record<string, string | undefined>>,
  backend: Backend,
  remoteAddress: string,
): Record<string, string | string[]> {
  const { authorization: _ours, host: _host, ...rest } = endToEndHeaders(headers);
  for (const name of Object.keys(rest)) if (name.startsWith("impersonate-")) delete rest[name];
  const via = headers["x-forwarded-for"];
  return {
    ...rest,
    host: authority(backend),
    "x-forwarded-for": via === undefined ? remoteAddress : `${via}, ${remoteAddress}`,
  };
}
