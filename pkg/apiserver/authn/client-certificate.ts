import type { X509Certificate } from "node:crypto";
import { LRUCache } from "lru-cache";
import { unauthorized, type UserInfo } from "#pkg/apimachinery/index.ts";
import { issuedBy, parseBundle, type PeerCertificate, parsePeerCertificate } from "#pkg/pki/index.ts";
import { family, Histogram, type Clock } from "#pkg/util/index.ts";
import type { ApiRequest, Authenticator } from "../contract.ts";
import { withAuthenticated } from "./token.ts";

export interface RequestHeaderOptions {
  /** PEM bundle of the authorities front proxies are signed by. */
  readonly ca: string;
  /** Common names front proxies may have; empty: any. */
  readonly allowedNames: readonly string[];
  /** Lower case. */
  readonly usernameHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly uidHeaders: readonly string[];
  readonly extraHeaderPrefixes: readonly string[];
}

interface Known {
  readonly peer: PeerCertificate;
  readonly user: UserInfo | undefined;
  readonly frontProxy: boolean;
}

const CACHED_CERTIFICATES = 4096;
const DAY = 86_400;
/** Upper bounds in seconds (upstream's), up to what it takes for a year. */
const LIFETIME_BUCKETS = [0, 1 / 48, 1 / 24, 1 / 12, 1 / 4, 1 / 2, 1, 2, 4, 7, 30, 90, 180, 360].map(
  (days) => days * DAY,
);

/**
 * Client certificates (CN → user, O → groups) and, when the certificate is a front proxy's, the user named in its
 * X-Remote headers. Each certificate is examined once; only its validity period is looked at again per request.
 */
export class ClientCertificateAuthenticator implements Authenticator {
  readonly #clientCas: readonly X509Certificate[];
  readonly #proxyCas: readonly X509Certificate[];
  readonly #requestHeader: RequestHeaderOptions | undefined;
  readonly #clock: Clock;
  /** By buffer: one connection hands over the same one with every request. */
  readonly #byBuffer = new WeakMap<Uint8Array, Known>();
  readonly #byFingerprint = new LRUCache<string, Known>({ max: CACHED_CERTIFICATES });
  /** What the certificates of requests had left to live, in seconds. */
  readonly #lifetimes = new Histogram(LIFETIME_BUCKETS);
  readonly #proxied = new LRUCache<string, UserInfo>({ max: CACHED_CERTIFICATES });

  constructor(clientCa: string | undefined, requestHeader: RequestHeaderOptions | undefined, clock: Clock) {
    this.#clientCas = clientCa === undefined ? [] : parseBundle(clientCa);
    this.#proxyCas = requestHeader === undefined ? [] : parseBundle(requestHeader.ca);
    this.#requestHeader = requestHeader;
    this.#clock = clock;
  }

  authenticate(request: ApiRequest): Promise<UserInfo | undefined> {
    return Promise.resolve(this.authenticateNow(request));
  }

  /** The same, synchronously. @throws StatusError 401 for an expired certificate or one of another authority. */
  authenticateNow(request: ApiRequest): UserInfo | undefined {
    const der = request.peer.certificate;
    if (der === undefined) return undefined;
    let known = this.#byBuffer.get(der);
    if (known === undefined) {
      known = this.#examine(der, request.peer.certificateVerified === true);
      this.#byBuffer.set(der, known);
    }
    const now = this.#clock.now();
    this.#lifetimes.add((known.peer.notAfter - now) / 1000);
    if (now < known.peer.notBefore || now > known.peer.notAfter) throw unauthorized();
    if (known.frontProxy) {
      const proxied = this.#fromHeaders(request);
      if (proxied !== undefined) return proxied;
    }
    if (known.user === undefined && !known.frontProxy) throw unauthorized();
    return known.user;
  }

  /** Prometheus text. */
  metrics(): string {
    const name = "apiserver_client_certificate_expiration_seconds";
    const help = "Distribution of the remaining lifetime on the certificate used to authenticate a request.";
    return family(name, "histogram", help, this.#lifetimes.lines(name, ""));
  }

  #examine(der: Uint8Array, verified: boolean): Known {
    let peer: PeerCertificate;
    try {
      peer = parsePeerCertificate(der);
    } catch (cause) {
      if (cause instanceof RangeError) throw unauthorized();
      throw cause;
    }
    const cacheKey = `${peer.fingerprint}:${verified}`;
    let known = this.#byFingerprint.get(cacheKey);
    if (known === undefined) {
      const proxy = this.#requestHeader;
      const byProxyCa = issuedBy(der, this.#proxyCas);
      const frontProxy =
        byProxyCa &&
        proxy !== undefined &&
        (proxy.allowedNames.length === 0 || proxy.allowedNames.includes(peer.commonName));
      // A chain through an intermediate is the TLS layer's to verify; a front proxy's authority vouches for no clients.
      const client = this.#clientCas.length > 0 && (issuedBy(der, this.#clientCas) || (verified && !byProxyCa));
      known = { peer, frontProxy, user: client && peer.commonName !== "" ? userOf(peer) : undefined };
      this.#byFingerprint.set(cacheKey, known);
    }
    return known;
  }

  #fromHeaders(request: ApiRequest): UserInfo | undefined {
    const { headers } = request;
    const options = this.#requestHeader!;
    const first = (names: readonly string[]): string | undefined =>
      names.map((name) => headers[name]).find((value) => (value ?? "") !== "");
    const name = first(options.usernameHeaders);
    if (name === undefined) return undefined;
    const uid = first(options.uidHeaders);
    const groups = options.groupHeaders.flatMap((header) => headerLines(request, header));
    const extra: Record<string, string[]> = {};
    for (const prefix of options.extraHeaderPrefixes) {
      for (const header in headers) {
        if (header.startsWith(prefix))
          extra[decodeExtraKey(header.slice(prefix.length))] = headerLines(request, header);
      }
    }
    const key = JSON.stringify([name, uid, groups, extra]);
    let user = this.#proxied.get(key);
    if (user === undefined) {
      user = withAuthenticated({
        name,
        ...(uid === undefined ? {} : { uid }),
        groups,
        ...(Object.keys(extra).length === 0 ? {} : { extra }),
      });
      this.#proxied.set(key, user);
    }
    return user;
  }
}

function userOf(peer: PeerCertificate): UserInfo {
  return withAuthenticated({
    name: peer.commonName,
    ...(peer.uid === undefined ? {} : { uid: peer.uid }),
    groups: peer.organizations,
    extra: { "authentication.kubernetes.io/credential-id": [`X509SHA256=${peer.fingerprint}`] },
  });
}

/** Values of a header that may be sent several times: one of each line, whatever commas it holds. Empty ones say nothing. */
export function headerLines(request: Pick<ApiRequest, "headers" | "repeated">, name: string): string[] {
  const value = request.headers[name];
  const lines = request.repeated?.get(name) ?? (value === undefined ? [] : [value]);
  return lines.filter((line) => line !== "");
}

/** Extra keys travel percent-encoded in header names; a key that does not decode is taken as it is. */
export function decodeExtraKey(key: string): string {
  try {
    return decodeURIComponent(key).toLowerCase();
  } catch {
    return key.toLowerCase();
  }
}
