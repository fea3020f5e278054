import { appendField, appendInteger, fieldIndex, STATIC_TABLE } from "#pkg/http2/index.ts";

const CONTENT_LENGTH = fieldIndex("content-length");
const WHOLE_STATUS = new Map(
  STATIC_TABLE.flatMap(([name, value], at) => (name === ":status" ? [[value, at + 1]] : [])),
);

const statuses = new Map<number, Buffer>();
/** Header objects that are frozen are made once and used for many answers. */
const frozen = new WeakMap<object, Buffer>();

function statusBytes(status: number): Buffer {
  let bytes = statuses.get(status);
  if (bytes === undefined) {
    const out: number[] = [];
    const index = WHOLE_STATUS.get(String(status));
    if (index === undefined) appendField(out, ":status", String(status));
    else appendInteger(out, index, 7, 0x80);
    bytes = Buffer.from(out);
    statuses.set(status, bytes);
  }
  return bytes;
}

/** Fields of HTTP/1 connections, which HTTP/2 forbids, and what is written apart. */
const LEFT_OUT = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "content-length",
  "date",
]);
/** What no field value may hold (RFC 9110, section 5.5), and what does not fit into an octet of it. */
const UNFIT = /[^\t\x20-\x7e\x80-\xff]/g;

function fieldBytes(headers: Readonly<Record<string, string>>): Buffer {
  const known = frozen.get(headers);
  if (known !== undefined) return known;
  const out: number[] = [];
  for (const key in headers) {
    const name = key.toLowerCase();
    if (LEFT_OUT.has(name)) continue;
    // Proxied answers may say a field more than once.
    const values: unknown = headers[key];
    for (const value of Array.isArray(values) ? values : [values]) {
      if (value !== undefined) appendField(out, name, String(value).replaceAll(UNFIT, " "));
    }
  }
  const bytes = Buffer.from(out);
  if (Object.isFrozen(headers)) frozen.set(headers, bytes);
  return bytes;
}

let dateSecond = -1;
let dateBytes = Buffer.alloc(0);

function dateField(now: number): Buffer {
  const second = Math.floor(now / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    const out: number[] = [];
    appendField(out, "date", new Date(second * 1000).toUTCString());
    dateBytes = Buffer.from(out);
  }
  return dateBytes;
}

/** Room for content-length: index, length, digits. */
const LENGTH_BYTES = 24;
/** The field's name, and room for it and the length of its value. */
const AUDIT_ID = Buffer.from("\0\x08audit-id", "latin1");
const AUDIT_ID_BYTES = AUDIT_ID.length + 4;

/** Writes the field, which is another one in each answer, into `out`; returns where it ends. */
function putAuditId(out: Buffer, at: number, id: string): number {
  out.set(AUDIT_ID, at);
  const length: number[] = [];
  appendInteger(length, id.length, 7, 0);
  out.set(length, at + AUDIT_ID.length);
  const start = at + AUDIT_ID.length + length.length;
  return start + out.write(id.replaceAll(UNFIT, " "), start, "latin1");
}

/**
 * The header block of an answer, behind `reserved` free bytes for the frame's head. `contentLength` is left out when
 * undefined, and so is audit-id, also where a proxied answer has one. Nothing is entered into the peer's dynamic table.
 */
export function encodeHeaders(
  reserved: number,
  status: number,
  headers: Readonly<Record<string, string>>,
  contentLength: number | undefined,
  now: number,
  auditId?: string,
): Buffer {
  const parts = [statusBytes(status), fieldBytes(headers), dateField(now)];
  const size = reserved + parts[0]!.length + parts[1]!.length + parts[2]!.length;
  const named = auditId !== undefined && headers["audit-id"] === undefined;
  const out = Buffer.allocUnsafe(size + LENGTH_BYTES + (named ? AUDIT_ID_BYTES + auditId.length : 0));
  let at = reserved;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  if (named) at = putAuditId(out, at, auditId);
  if (contentLength !== undefined) {
    const digits = String(contentLength);
    // Index 28 does not fit into the four bits of a field that is not remembered.
    out[at++] = 0x0f;
    out[at++] = CONTENT_LENGTH - 0x0f;
    out[at++] = digits.length;
    at += out.write(digits, at, "latin1");
  }
  return out.subarray(0, at);
}
