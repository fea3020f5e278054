import { errorMessage } from "#pkg/util/index.ts";
import { GrpcError, GrpcStatus } from "./grpc.ts";

/** What a failed call says about the world. */
export type Failure =
  | "compacted"
  | "future"
  | "lease-gone"
  /** The request certainly never reached a server. */
  | "not-sent"
  /** The server or the way to it failed; a write may or may not have happened. */
  | "unavailable"
  | "other";

const UNAVAILABLE_TEXTS = [
  "etcdserver: request timed out",
  "etcdserver: no leader",
  "etcdserver: leader changed",
  "etcdserver: server stopped",
  "etcdserver: not capable",
  "UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "Connection dropped",
  "ECONNRESET",
  "EPIPE",
];

/** Statuses of a call of which nobody knows what became. */
const UNAVAILABLE_STATUSES: ReadonlySet<number> = new Set([
  GrpcStatus.Cancelled,
  GrpcStatus.Unknown,
  GrpcStatus.DeadlineExceeded,
  GrpcStatus.Internal,
  GrpcStatus.Unavailable,
]);

/** etcd3 turns gRPC statuses into many classes; the texts are etcd's own and stable (rpctypes/error.go). */
export function classify(error: unknown): Failure {
  const message = errorMessage(error);
  if (message.includes("required revision has been compacted")) return "compacted";
  if (message.includes("required revision is a future revision")) return "future";
  if (message.includes("requested lease not found")) return "lease-gone";
  // Waiting mends no certificate.
  if (/certificate|ERR_TLS|SSL alert|ERR_SSL/i.test(message)) return "other";
  if (/No connection established|ECONNREFUSED|Name resolution failed|no connection/i.test(message)) return "not-sent";
  if (UNAVAILABLE_TEXTS.some((text) => message.includes(text))) return "unavailable";
  if (error instanceof GrpcError) {
    if (error.notSent) return "not-sent";
    return UNAVAILABLE_STATUSES.has(error.status) ? "unavailable" : "other";
  }
  const name = error instanceof Error ? error.constructor.name : "";
  return /^GRPC(Unavailable|Cancelled|DeadlineExceeded|Internal|Unknown)Error$/.test(name) ? "unavailable" : "other";
}
