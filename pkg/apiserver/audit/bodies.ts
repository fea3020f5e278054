import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { decodeYaml } from "#pkg/apimachinery/index.ts";
import { decodeEnvelope, hasProtobufMagic } from "#pkg/apimachinery/protobuf/index.ts";
import type { ApiRequest } from "../contract.ts";
import type { SentBody } from "../pipeline.ts";

const WRITE_METHODS = new Set(["POST", "PUT", "PATCH", "DELETE"]);
/** Bigger bodies (long lists) are left out of events. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;
const unzip = promisify(gunzip);

/** A request's body as JSON data, if it has one that can be read. */
export async function requestBody(request: ApiRequest): Promise<unknown> {
  if (!WRITE_METHODS.has(request.method)) return undefined;
  const type = request.headers["content-type"] ?? "application/json";
  if (!/json|yaml|protobuf/.test(type)) return undefined;
  try {
    return decode(await request.body(), type);
  } catch {
    return undefined; // The client learnt of its broken body from the answer; the event stands without it.
  }
}

/** What was sent, as JSON data. */
export async function sentBody(sent: SentBody | undefined): Promise<unknown> {
  if (sent === undefined) return undefined;
  const { headers, body } = sent;
  const bytes = Buffer.isBuffer(body) ? body : Buffer.concat(body as readonly Buffer[]);
  if (bytes.length > MAX_BODY_BYTES) return undefined;
  const plain =
    headers["content-encoding"] === "gzip" ? await unzip(bytes, { maxOutputLength: 8 * MAX_BODY_BYTES }) : bytes;
  return decode(plain, headers["content-type"] ?? "");
}

function decode(bytes: Buffer, type: string): unknown {
  if (bytes.length === 0 || bytes.length > MAX_BODY_BYTES) return undefined;
  if (hasProtobufMagic(bytes)) return decodeEnvelope(bytes);
  if (type.includes("json")) return JSON.parse(bytes.toString("utf8"));
  return type.includes("yaml") ? decodeYaml(bytes.toString("utf8")).value : undefined;
}
