/**
 * The seams inside the API server: what a request is, who may make it, what admission may do to it. The HTTP front
 * (HTTP/2 of our own, fastify), the in-process transport and the message-port transport all produce an ApiRequest and consume an
 * ApiResponse, so every client, however it connects, runs through the same authentication, authorization and admission.
 */
import type { Duplex } from "node:stream";
import type { ResourceDefinition, Verb } from "#pkg/api/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";

/** A request, by whatever transport it came. */
export interface ApiRequest {
  readonly method: string;
  /** Raw request target: path and query, undecoded. */
  readonly url: string;
  /** Lower-case names. Repeated headers are joined with ", ". */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** The lines of the headers that were sent more than once, for those whose values may hold commas. */
  readonly repeated?: ReadonlyMap<string, readonly string[]> | undefined;
  /** The whole body, bounded (StatusError 413 beyond the limit). Empty buffer when there is none. */
  body(): Promise<Buffer>;
  readonly remoteAddress: string;
  /**
   * What the request is called in audit logs: the client's choice (header Audit-ID), or made up. Transports over the
   * network tell it in every answer; others leave it to whoever writes the log.
   */
  readonly auditId?: string;
  /**
   * Who the connection itself proves to be. HTTP: DER of the verified client certificate chain's leaf.
   * In-process transports: an identity, already authenticated by construction.
   */
  readonly peer: {
    readonly certificate?: Uint8Array;
    readonly certificateVerified?: boolean;
    readonly user?: UserInfo;
  };
  /** Aborted when the client goes away or the server shuts down. */
  readonly signal: AbortSignal;
  /** HTTP/1.1 Upgrade (WebSocket, SPDY): hands over the socket. Absent on transports that cannot upgrade. */
  readonly upgrade?: { readonly protocol: string; readonly head: Buffer; accept(): Duplex };
  /** Body as a stream, for proxying. */
  bodyStream?(): AsyncIterable<Buffer>;
}

/** Where the answer goes: either all at once or as a stream. */
export interface ApiResponse {
  /** Sends everything at once; several buffers are concatenated without a copy. */
  send(status: number, headers: Readonly<Record<string, string>>, body: Buffer | readonly Buffer[]): void;
  /**
   * Starts a streamed response (watch, log follow, proxy). `write` returns false once more than the transport's bound
   * is buffered: the producer then has to wait for `drained`.
   */
  stream(status: number, headers: Readonly<Record<string, string>>): ResponseStream;
}
/** An answer that is written piece by piece. */
export interface ResponseStream {
  write(chunk: Buffer): boolean;
  drained(): Promise<void>;
  end(): void;
  /** Resets the stream: the client sees an error instead of an orderly end. */
  destroy(): void;
}

/** The one entry to the API server. Never rejects: failures become Status responses. */
export interface ApiHandler {
  handle(request: ApiRequest, response: ApiResponse): Promise<void>;
}

/** What is told besides the answer: to the client in Warning headers, to the audit log in annotations. */
export interface Remarks {
  warn(text: string): void;
  annotate(key: string, value: string): void;
}

/** Returns a user, or undefined when this method does not apply; throws StatusError 401 for a bad credential. */
export interface Authenticator {
  authenticate(request: ApiRequest, remarks?: Remarks): Promise<UserInfo | undefined>;
}

/** What RBAC and the other authorizers judge. */
export type Attributes = {
  readonly user: UserInfo;
} & (
  | {
      readonly resourceRequest: true;
      readonly verb: string;
      readonly namespace: string;
      readonly apiGroup: string;
      readonly apiVersion: string;
      readonly resource: string;
      readonly subresource: string;
      readonly name: string;
      readonly labelSelector?: string;
      readonly fieldSelector?: string;
    }
  | { readonly resourceRequest: false; readonly verb: string; readonly path: string }
);
/** What an authorizer says; with no opinion the next one is asked. */
export type Decision = { readonly decision: "allow" | "deny" | "no-opinion"; readonly reason: string };

/** Says who may do what. */
export interface Authorizer {
  /** Synchronous where it can be (RBAC from indexed caches): an allowed request must not cost a tick. */
  authorize(attributes: Attributes): Decision | Promise<Decision>;
}

/** What admission is asked about. */
export interface AdmissionAttributes {
  readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  readonly resource: ResourceDefinition;
  readonly subresource: string;
  readonly namespace: string;
  /** "" on create with generateName only, until validating admission, and for what goes with a whole collection. */
  name: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  /** The request's object in the request's version; mutating plugins change it in place. Absent for DELETE. */
  object: KubeObject | undefined;
  readonly oldObject: Readonly<KubeObject> | undefined;
  /** CreateOptions, DeleteOptions…, as webhooks get them. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Warning headers to send back. */
  warn(text: string): void;
  /** Adds an audit annotation. */
  annotate(key: string, value: string): void;
}

/** `admit` may change the object, `validate` may not. Both refuse by throwing StatusError. */
export interface AdmissionPlugin {
  readonly name: string;
  /** `admit` writes to nothing that is shared (see `share`). Others are given a copy of it. */
  readonly sparesShared?: boolean;
  handles(attributes: AdmissionAttributes): boolean;
  admit?(attributes: AdmissionAttributes): void | Promise<void>;
  validate?(attributes: AdmissionAttributes): void | Promise<void>;
  /**
   * Undoes what admission reserved when the write then fails (quota), or confirms it. Called exactly once per
   * attributes that passed `validate`.
   */
  settle?(attributes: AdmissionAttributes, stored: boolean): void | Promise<void>;
}

export type { ResourceDefinition, Verb };
