import type { LabMachine } from "../../hack/lib/any-lab.ts";
import type { TestCluster } from "../framework/lab.ts";
import { NETTOOLS, pod } from "../framework/manifests.ts";

/** Ports of `backend` pods. */
export const HTTP = 8080;
export const UDP = 8081;

/** A pod that answers with its name: HTTP on 8080 and 8082, one datagram per datagram on 8081. */
export function backend(name: string, app: string, spec: object = {}): object {
  const script = [
    `mkdir /www; echo ${name} > /www/index.html`,
    `httpd -p ${HTTP} -h /www; httpd -p 8082 -h /www`,
    `exec socat -T 2 UDP6-RECVFROM:${UDP},ipv6only=0,fork SYSTEM:'cat >/dev/null & echo ${name}'`,
  ];
  return pod(name, { image: NETTOOLS, command: ["sh", "-c", script.join("; ")], labels: { app }, spec });
}

/** A pod with tools, to ask from. */
export function client(name: string, spec: object = {}): object {
  return pod(name, { image: NETTOOLS, command: ["sleep", "3600"], spec });
}

const REQUEST: Record<"tcp" | "udp", (host: string, port: number) => string> = {
  tcp: (host, port) => `timeout 3 wget -qO- http://${host}:${port}/ 2>/dev/null || echo failed`,
  // The answer comes at once; what is waited for is only the end of those that never come.
  udp: (host, port) => {
    const to = host.includes(":") ? "UDP6" : "UDP4";
    return `r=$(echo hi | timeout 1 socat -t 0.3 - ${to}:${host}:${port} 2>/dev/null); echo "\${r:-failed}"`;
  },
};

/** Asks `count` times from a pod. Answers what came back, in order: names of backends, or "failed". */
export async function ask(
  cluster: TestCluster,
  from: string,
  protocol: "tcp" | "udp",
  host: string,
  port: number,
  count = 1,
): Promise<string[]> {
  const loop = `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); ${REQUEST[protocol](host, port)}; done`;
  return (await cluster.exec(from, "sh", "-c", loop)).trim().split("\n");
}

/** Asks each of these once from a pod, in one command. Answers what came back, in order. */
export async function askEach(
  cluster: TestCluster,
  from: string,
  whom: ReadonlyArray<readonly [protocol: "tcp" | "udp", host: string, port: number]>,
): Promise<string[]> {
  const script = whom.map(([protocol, host, port]) => REQUEST[protocol](host, port)).join("\n");
  return (await cluster.exec(from, "sh", "-c", script)).trim().split("\n");
}

/** Asks `count` times from a node itself. */
export async function askFromNode(
  cluster: TestCluster,
  node: LabMachine,
  host: string,
  port: number,
  count = 1,
): Promise<string[]> {
  const script = `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); curl -s -m 3 http://${host}:${port}/ || echo failed; done`;
  return (await cluster.lab.run(node, "sh", ["-c", script])).stdout.trim().split("\n");
}

/** The answers without repetition, sorted. */
export const distinct = (answers: readonly string[]): string[] => [...new Set(answers)].sort();
