/** Runs one probe once. */
import type { Container, EphemeralContainer, Probe } from "#pkg/api/types/core-v1.ts";
import { goQuote } from "#pkg/apimachinery/index.ts";
import { isRuntimeError } from "../cri/runtime.ts";
import type { Runtime } from "../cri/runtime.ts";
import { expand } from "../pod/expansion.ts";
import { checkGrpc } from "./grpc-health.ts";
import { checkHttp, checkTcp } from "./net.ts";
import type { Verdict } from "./net.ts";

const PROBE_USER_AGENT = "kube-probe/1.36";
const OUTPUT_LIMIT = 10_240;

/** A number, or the name of one of the container's ports. */
export function resolvePort(port: number | string, container: Container | EphemeralContainer): number {
  if (typeof port === "number") return port;
  if (/^\d+$/.test(port)) return Number(port);
  const named = container.ports?.find(({ name }) => name === port);
  // What names no port was meant as a number, and is none.
  if (named === undefined) throw new Error(`strconv.Atoi: parsing ${goQuote(port)}: invalid syntax`);
  return named.containerPort;
}

/** The container that is probed. */
export interface ProbeTarget {
  readonly container: Container | EphemeralContainer;
  readonly containerId: string;
  readonly podIP: string;
}

export async function runProbe(
  runtime: Runtime,
  probe: Probe,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<Verdict> {
  const timeoutSeconds = probe.timeoutSeconds ?? 1;
  const timeoutMs = timeoutSeconds * 1000;
  if (probe.exec !== undefined) {
    const env = new Map((target.container.env ?? []).map(({ name, value }) => [name, value ?? ""]));
    const command = (probe.exec.command ?? []).map((word) => expand(word, (name) => env.get(name)));
    try {
      const { exitCode, stdout, stderr } = await runtime.execSync(target.containerId, command, timeoutSeconds, {
        signal,
      });
      const output = Buffer.concat([stdout, stderr]).toString("utf8").slice(0, OUTPUT_LIMIT);
      return { result: exitCode === 0 ? "Success" : "Failure", output };
    } catch (error) {
      if (isRuntimeError(error, "DeadlineExceeded")) {
        return {
          result: "Failure",
          output: `command timed out: ${JSON.stringify(command.join(" "))} timed out after ${timeoutSeconds}s`,
        };
      }
      throw error;
    }
  }
  if (probe.httpGet !== undefined) {
    const { host, port, path = "/", scheme = "HTTP", httpHeaders = [] } = probe.httpGet;
    const check = {
      scheme: scheme as "HTTP" | "HTTPS",
      host: host === undefined || host === "" ? target.podIP : host,
      port: resolvePort(port, target.container),
      path,
      headers: httpHeaders,
      userAgent: PROBE_USER_AGENT,
      timeoutMs,
    };
    return checkHttp(check, signal);
  }
  if (probe.tcpSocket !== undefined) {
    const { host, port } = probe.tcpSocket;
    return checkTcp(
      host === undefined || host === "" ? target.podIP : host,
      resolvePort(port, target.container),
      timeoutMs,
      signal,
    );
  }
  if (probe.grpc !== undefined) {
    return checkGrpc(target.podIP, probe.grpc.port, probe.grpc.service ?? "", PROBE_USER_AGENT, timeoutMs, signal);
  }
  return { result: "Success", output: "" };
}
