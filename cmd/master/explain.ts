import { badRequest, isStatusError, notFound, serviceUnavailable } from "#pkg/apimachinery/index.ts";
import { leases } from "#pkg/api/refs.ts";
import type { ApiResponse } from "#pkg/apiserver/index.ts";
import { type Client, type ConnectionConfig, createClient, http2Transport, loadKubeconfig } from "#pkg/client/index.ts";
import { UsageError } from "#pkg/config/index.ts";
import type { Explanation } from "#pkg/scheduler/index.ts";
import { type Clock, RealClock, formatTime } from "#pkg/util/index.ts";
import { userAgentOf } from "../common/program.ts";

/** A scheduler with a server of its own says in its Lease where that is and which CA vouches for it. */
export const SCHEDULER_LEASE = { namespace: "kube-system", name: "kube-scheduler" };
export const SERVED_URL = "kubits.io/scheduler-url";
export const SERVED_CA = "kubits.io/scheduler-ca";

/** Where a scheduler is served. */
export interface ServedAt {
  readonly url: string;
  readonly ca: string;
}
/** What it takes to be asked for an explanation over any server. */
export interface Explained {
  readonly request: { readonly method: string };
  readonly target: { readonly path: string };
  readonly response: Pick<ApiResponse, "send">;
}

/** GET PREFIX/<namespace>/<pod>; RBAC's nonResourceURLs decide who may. */
const PREFIX = "/debug/scheduling/";

type Answer = Explanation | "elsewhere" | undefined;

/** Serves what the scheduler of this process says of a pod. */
export function serveExplanations(
  scheduler: () => { explain(pod: string): Answer | Promise<Answer> } | undefined,
): (context: Explained) => Promise<boolean> {
  return async ({ request, response, target }) => {
    if (request.method !== "GET" || !target.path.startsWith(PREFIX)) return false;
    const words = target.path.slice(PREFIX.length).split("/");
    if (words.length !== 2 || words.includes("")) throw badRequest(`expected ${PREFIX}<namespace>/<pod>`);
    const running = scheduler();
    const explanation = running === undefined ? "elsewhere" : await running.explain(words.join("/"));
    if (explanation === "elsewhere") {
      throw serviceUnavailable("the scheduler of this process is not the leading one");
    }
    if (explanation === undefined)
      throw notFound({ group: "", resource: "scheduling attempts of pod" }, words.join("/"));
    const headers = { "content-type": "application/json", "cache-control": "no-store" };
    response.send(200, headers, Buffer.from(JSON.stringify(explanation)));
    return true;
  };
}

/** Asks the API server that the kubeconfig names, and answers text for people. */
export async function explainScheduling(kubeconfig: string, pod: string): Promise<string> {
  if (!/^[^/]+\/[^/]+$/.test(pod)) throw new UsageError(`expected <namespace>/<pod>, not ${pod}`);
  const clock = new RealClock();
  const config = await loadKubeconfig(kubeconfig).catch((error: Error) => {
    throw new UsageError(`--admin-kubeconfig: ${error.message}`);
  });
  const transport = http2Transport({ ...config, clock });
  try {
    const client = createClient(transport, { userAgent: userAgentOf("kubits-master") });
    const path = PREFIX + pod.split("/").map(encodeURIComponent).join("/");
    return describeExplanation(
      await client.raw<Explanation>("GET", path).catch(async (error: unknown) => {
        if (!isStatusError(error) || error.code !== 503) throw error;
        const elsewhere = await servedAt(client);
        if (elsewhere === undefined) throw error;
        return askThere(config, elsewhere, clock, path);
      }),
    );
  } catch (error) {
    if (isStatusError(error)) throw new UsageError(error.message);
    throw error;
  } finally {
    transport.close();
  }
}

async function servedAt(client: Client): Promise<ServedAt | undefined> {
  const { metadata } = await client.get(leases, SCHEDULER_LEASE);
  const { [SERVED_URL]: url, [SERVED_CA]: ca } = metadata.annotations ?? {};
  return url === undefined || ca === undefined ? undefined : { url, ca };
}

/** Asks a scheduler's own server as the same user. Only certificates are shown there: a token could be used again. */
async function askThere(
  { cert, certFile, key, keyFile }: ConnectionConfig,
  { url, ca }: ServedAt,
  clock: Clock,
  path: string,
): Promise<Explanation> {
  const transport = http2Transport({ server: url, ca, cert, certFile, key, keyFile, clock });
  try {
    return await createClient(transport, { userAgent: userAgentOf("kubits-master") }).raw<Explanation>("GET", path);
  } finally {
    transport.close();
  }
}

/** Every node of the last attempt: why it was refused, or what each plugin gave it. */
export function describeExplanation(explanation: Explanation): string {
  const { pod, at, message, queue, nodeName, refusals, candidates, weights } = explanation;
  const lines = [
    `Pod:      ${pod}`,
    `Waiting:  ${queue === undefined ? "no" : `in the queue "${queue}"`}`,
    `Attempt:  ${at === undefined ? "none" : formatTime(at)}`,
    `Verdict:  ${message}`,
  ];
  const plugins = Object.keys(weights);
  if (candidates.length > 0) {
    const header = ["NODE", "TOTAL", ...plugins.map((plugin) => `${plugin} x${weights[plugin]}`)];
    const rows = candidates.map(({ node, total, scores }) => [
      node === nodeName ? `${node} (chosen)` : node,
      plugins.length === 0 ? "only one that fits" : String(total),
      ...plugins.map((plugin) => String(scores[plugin])),
    ]);
    lines.push("", "Best of the nodes that fit, with each plugin's score of 100:", ...table([header, ...rows]));
  }
  if (refusals.length > 0) {
    const rows = refusals.map(({ node, plugin, reasons }) => [node, plugin, reasons.join("; ")]);
    lines.push("", "Nodes refused:", ...table([["NODE", "PLUGIN", "REASONS"], ...rows]));
  }
  return lines.join("\n");
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_title, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("   ")
      .trimEnd(),
  );
}
