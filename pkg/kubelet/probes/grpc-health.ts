/** The gRPC health checking protocol (grpc.health.v1): one string in, one enum out, so the messages are coded by hand. */
import * as grpc from "@grpc/grpc-js";
import { limited } from "./limited.ts";
import type { Verdict } from "./net.ts";

const SERVING = 1;
const STATUS_NAMES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service, "utf8");
  if (name.length === 0) return Buffer.alloc(0);
  const length: number[] = [];
  for (let rest = name.length; ; rest >>>= 7) {
    if (rest < 0x80) {
      length.push(rest);
      break;
    }
    length.push((rest & 0x7f) | 0x80);
  }
  return Buffer.concat([Buffer.from([0x0a, ...length]), name]);
}

/** Field 1, varint; an empty message is UNKNOWN. */
function decodeResponse(bytes: Buffer): number {
  return bytes.length >= 2 && bytes[0] === 0x08 ? bytes[1]! : 0;
}

export function checkGrpc(
  host: string,
  port: number,
  service: string,
  userAgent: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Verdict> {
  const late = `timeout: health rpc did not complete within ${timeoutMs / 1000}s`;
  return limited(timeoutMs, signal, (bounded) => ask(host, port, service, userAgent, late, bounded));
}

function ask(
  host: string,
  port: number,
  service: string,
  userAgent: string,
  late: string,
  bounded: AbortSignal,
): Promise<Verdict> {
  return new Promise((resolve) => {
    const target = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    const client = new grpc.Client(target, grpc.credentials.createInsecure(), {
      "grpc.primary_user_agent": userAgent,
      "grpc.enable_http_proxy": 0,
    });
    const done = (verdict: Verdict) => {
      bounded.removeEventListener("abort", onAbort);
      client.close();
      resolve(verdict);
    };
    const call = client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      encodeRequest,
      decodeResponse,
      service,
      (error, status) => {
        if (error !== null) {
          const output =
            error.code === grpc.status.UNIMPLEMENTED
              ? "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
              : bounded.aborted
                ? late
                : `error: health rpc probe failed: ${error.details === "" ? error.message : error.details}`;
          done({ result: "Failure", output });
        } else if (status === SERVING) done({ result: "Success", output: "service healthy" });
        else
          done({
            result: "Failure",
            output: `service unhealthy (responded with "${STATUS_NAMES[status ?? 0] ?? "UNKNOWN"}")`,
          });
      },
    );
    const onAbort = () => call.cancel();
    bounded.addEventListener("abort", onAbort, { once: true });
  });
}
