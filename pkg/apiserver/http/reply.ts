import { gzip } from "node:zlib";
import type { Status } from "#pkg/api/types/meta-v1.ts";
import { encodeYaml, type StatusError } from "#pkg/apimachinery/index.ts";
import { encodeEnvelope } from "#pkg/apimachinery/protobuf/index.ts";
import type { ApiRequest, ApiResponse } from "../contract.ts";
import { gzipBody, type GzipSegment, storedSegment } from "./gzip-segments.ts";
import { CONTENT_TYPES, type Encoding, parseAccept } from "./negotiate.ts";
import { warningHeader } from "./warnings.ts";

const NEWLINE = Buffer.from("\n");
/** Smaller bodies are not worth compressing (upstream's threshold). */
export const GZIP_FROM_BYTES = 128 * 1024;
const STATUS_MESSAGE = "k8s.io.apimachinery.pkg.apis.meta.v1.Status";

export interface ReplyContext {
  readonly request: ApiRequest;
  readonly response: ApiResponse;
  /** Texts for Warning headers. */
  readonly warnings: readonly string[];
  readonly pretty: boolean;
}

/** Headers every answer about objects carries. */
function baseHeaders(encoding: Encoding, warnings: readonly string[]): Readonly<Record<string, string>> {
  const headers = BASE_HEADERS[encoding];
  const warning = warnings.length === 0 ? "" : warningHeader(warnings);
  return warning === "" ? headers : { ...headers, warning };
}

/** Frozen, so that the transport can keep them encoded. */
const plainHeaders = (contentType: string) =>
  Object.freeze({ "content-type": contentType, "cache-control": "no-cache, private" });
const BASE_HEADERS = {
  json: plainHeaders(CONTENT_TYPES.json),
  yaml: plainHeaders(CONTENT_TYPES.yaml),
  protobuf: plainHeaders(CONTENT_TYPES.protobuf),
};

/** JSON bytes as they are, or indented when asked for. */
function prettyJson(chunks: Buffer | readonly Buffer[]): Buffer {
  const text = Buffer.isBuffer(chunks) ? chunks.toString() : Buffer.concat(chunks).toString();
  return Buffer.from(JSON.stringify(JSON.parse(text), undefined, 2));
}

/** Sends encoded bytes; large ones are compressed for clients that can read that. */
export function sendBytes(
  { request, response, warnings, pretty }: ReplyContext,
  code: number,
  encoding: Encoding,
  chunks: Buffer | readonly Buffer[],
): void | Promise<void> {
  const headers = baseHeaders(encoding, warnings);
  let body: readonly Buffer[] = Buffer.isBuffer(chunks) ? [chunks] : chunks;
  if (encoding === "json") body = [...(pretty ? [prettyJson(chunks)] : body), NEWLINE];
  const compressed = gzipFor(request, body);
  if (compressed === undefined) {
    response.send(code, headers, body);
    return undefined;
  }
  return compressed.then((bytes) => response.send(code, gzipHeaders(headers), bytes));
}

/** Sends a body that is compressed already. */
export function sendGzip(
  { response, warnings }: ReplyContext,
  code: number,
  encoding: Encoding,
  segments: readonly GzipSegment[],
): void {
  const whole = encoding === "json" ? [...segments, storedSegment(NEWLINE)] : segments;
  response.send(code, gzipHeaders(baseHeaders(encoding, warnings)), gzipBody(whole));
}

function gzipHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return { ...headers, "content-encoding": "gzip", vary: "Accept-Encoding" };
}

/** Whether the client reads bodies that are compressed. */
export function acceptsGzip(request: ApiRequest): boolean {
  const header = request.headers["accept-encoding"];
  return header !== undefined && parseAccept(header).some(({ type }) => type === "gzip");
}

/** A large body compressed, when the client reads that; undefined when it is to be sent as it is. */
export function gzipFor(request: ApiRequest, body: readonly Buffer[]): Promise<Buffer> | undefined {
  let size = 0;
  for (const chunk of body) size += chunk.length;
  if (size < GZIP_FROM_BYTES || !acceptsGzip(request)) return undefined;
  return new Promise((resolve, reject) =>
    gzip(Buffer.concat(body), { level: 1 }, (error, result) => (error === null ? resolve(result) : reject(error))),
  );
}

/** Encodes a whole object; `message` is its protobuf message, needed for that encoding only. */
export function encodeObject(encoding: Encoding, object: object, message?: string): Buffer {
  if (encoding === "json") return Buffer.from(JSON.stringify(object));
  if (encoding === "yaml") return Buffer.from(encodeYaml(object));
  if (message === undefined) throw new Error("the object has no protobuf message");
  return encodeEnvelope(message, object);
}

/** Sends a Status failure in an encoding the client reads, JSON when it reads none of ours. */
export function sendError(context: ReplyContext, error: StatusError, encoding: Encoding = "json"): void {
  const { status } = error;
  const plain = baseHeaders(encoding, context.warnings);
  const retry = status.details?.retryAfterSeconds;
  const headers = retry !== undefined && retry > 0 ? { ...plain, "retry-after": String(retry) } : plain;
  const bytes = encodeStatus(encoding, status);
  context.response.send(error.code, headers, encoding === "json" ? [bytes, NEWLINE] : bytes);
}

export function encodeStatus(encoding: Encoding, status: Status): Buffer {
  const whole = { kind: "Status", apiVersion: "v1", ...status, metadata: status.metadata ?? {} };
  return encodeObject(encoding, whole, STATUS_MESSAGE);
}
