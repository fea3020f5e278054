/**
 * HTTP/2 (RFC 9113) as far as both sides share it: frames, header compression (RFC 7541), names of the protocol; and the
 * client's side of a connection ({@link dial}), for callers whose requests are so many that a general client would cost
 * more than they do. The server's side is the API server's.
 */
export { ClientConnection } from "./client-connection.ts";
export type { ClientStream, ResponseFailure, ResponseSink } from "./client-stream.ts";
export { dial, type DialOptions } from "./dial.ts";
export { FrameReader, type FrameSink } from "./frame-reader.ts";
export { type Field, HpackDecoder } from "./hpack-decoder.ts";
export { appendField, appendInteger, fieldIndex } from "./hpack-fields.ts";
export { STATIC_TABLE } from "./hpack-tables.ts";
export {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FRAME_HEAD_BYTES,
  frame,
  FrameType,
  Http2Error,
  MAX_MAX_FRAME_BYTES,
  MAX_WINDOW,
  MIN_MAX_FRAME_BYTES,
  numberFrame,
  PREFACE,
  Setting,
  settingsFrame,
  writeFrameHead,
} from "./protocol.ts";
export type { Fields } from "./request-fields.ts";
