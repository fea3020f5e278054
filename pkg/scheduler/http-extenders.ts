import { isRecord } from "#pkg/apimachinery/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { NodeInfo } from "./cache/node-info.ts";
import type { PodInfo } from "./cache/pod-info.ts";
import type { ExtenderConfiguration } from "./config.ts";
import { ExtenderConnection } from "./extender-connection.ts";
import type { Extenders } from "./extenders.ts";
import { unresolvable, unschedulable } from "./framework/status.ts";
import type { Status } from "./framework/status.ts";
import { MAX_NODE_SCORE } from "./framework/types.ts";
import type { Candidate } from "./preemption/victims.ts";

/** Scores of extenders are 0 to 10. */
const MAX_EXTENDER_PRIORITY = 10;

/** What calling extenders needs. */
export interface HttpExtendersDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

/** Asks the configured extenders over HTTP, each within its timeout. */
export class HttpExtenders implements Extenders {
  readonly #all: readonly ExtenderConfiguration[];
  readonly #connections: ReadonlyMap<ExtenderConfiguration, ExtenderConnection>;
  readonly #deps: HttpExtendersDeps;

  constructor(configuration: readonly ExtenderConfiguration[], deps: HttpExtendersDeps) {
    this.#all = configuration;
    this.#connections = new Map(configuration.map((one) => [one, new ExtenderConnection(one.urlPrefix, one.tls)]));
    this.#deps = deps;
  }
  interestedIn(pod: PodInfo): readonly string[] {
    return this.#for(pod).map(({ urlPrefix }) => urlPrefix);
  }

  async filter(
    pod: PodInfo,
    nodes: readonly NodeInfo[],
    statuses: Map<NodeInfo, Status>,
    signal: AbortSignal,
  ): Promise<NodeInfo[]> {
    let left = [...nodes];
    for (const extender of this.#for(pod)) {
      if (extender.filterVerb === "" || left.length === 0) continue;
      try {
        left = await this.#filterBy(extender, pod, left, statuses, signal);
      } catch (err) {
        if (!extender.ignorable || signal.aborted) throw err;
        this.#deps.log.warn(
          { err, extender: extender.urlPrefix },
          "Skipping extender as it returned error and has ignorable flag set",
        );
      }
    }
    return left;
  }

  async #filterBy(
    extender: ExtenderConfiguration,
    pod: PodInfo,
    nodes: readonly NodeInfo[],
    statuses: Map<NodeInfo, Status>,
    signal: AbortSignal,
  ): Promise<NodeInfo[]> {
    const answer = await this.#post(extender, extender.filterVerb, argumentsFor(extender, pod, nodes), signal);
    if (typeof answer["error"] === "string" && answer["error"] !== "") throw new Error(answer["error"]);
    const names = acceptedNames(answer);
    const failed = isRecord(answer["failedNodes"]) ? answer["failedNodes"] : {};
    const unresolvables = isRecord(answer["failedAndUnresolvableNodes"]) ? answer["failedAndUnresolvableNodes"] : {};
    const plugin = `Extender ${extender.urlPrefix}`;
    return nodes.filter((node) => {
      const final = unresolvables[node.name];
      const refused = final === undefined ? failed[node.name] : final;
      if (refused !== undefined)
        statuses.set(node, { ...(final === undefined ? unschedulable : unresolvable)(String(refused)), plugin });
      else if (!names.has(node.name))
        statuses.set(node, { ...unschedulable(`node(s) were filtered out by extender`), plugin });
      return refused === undefined && names.has(node.name);
    });
  }

  async prioritize(
    pod: PodInfo,
    nodes: readonly NodeInfo[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, number>> {
    const totals = new Map<string, number>();
    const asked = this.#for(pod).filter(({ prioritizeVerb }) => prioritizeVerb !== "");
    await Promise.all(
      asked.map(async (extender) => {
        try {
          const answer = await this.#post(
            extender,
            extender.prioritizeVerb,
            argumentsFor(extender, pod, nodes),
            signal,
          );
          const scores = Array.isArray(answer) ? answer.filter(isRecord) : [];
          for (const score of scores) {
            const host = String(score["host"] ?? score["Host"] ?? "");
            const value = Number(score["score"] ?? score["Score"] ?? 0);
            if (!Number.isFinite(value)) continue;
            totals.set(
              host,
              (totals.get(host) ?? 0) + (value * extender.weight * MAX_NODE_SCORE) / MAX_EXTENDER_PRIORITY,
            );
          }
        } catch (err) {
          this.#deps.log.warn(
            { err, extender: extender.urlPrefix },
            "Extender did not score nodes, going on without it",
          );
        }
      }),
    );
    return totals;
  }

  preemptsFor(pod: PodInfo): boolean {
    return this.#for(pod).some(({ preemptVerb }) => preemptVerb !== "");
  }
  async processPreemption(
    pod: PodInfo,
    candidates: readonly Candidate[],
    signal: AbortSignal,
  ): Promise<readonly Candidate[]> {
    let left = [...candidates];
    for (const extender of this.#for(pod).filter(({ preemptVerb }) => preemptVerb !== "")) {
      const victims = Object.fromEntries(
        left.map(({ node, victims: pods, violations }) => [
          node.name,
          { pods: pods.map(({ uid }) => ({ uid })), numPDBViolations: violations },
        ]),
      );
      try {
        const answer = await this.#post(
          extender,
          extender.preemptVerb,
          { pod: pod.pod, nodeNameToMetaVictims: victims },
          signal,
        );
        const kept = isRecord(answer["nodeNameToMetaVictims"]) ? answer["nodeNameToMetaVictims"] : {};
        left = left
          .filter(({ node }) => Object.hasOwn(kept, node.name))
          .map((candidate) => narrowed(candidate, kept[candidate.node.name]));
      } catch (err) {
        if (!extender.ignorable || signal.aborted) throw err;
        this.#deps.log.warn(
          { err, extender: extender.urlPrefix },
          "Skipping extender as it returned error and has ignorable flag set",
        );
      }
    }
    return left;
  }

  async bind(pod: PodInfo, nodeName: string, signal: AbortSignal): Promise<boolean> {
    const extender = this.#for(pod).find(({ bindVerb }) => bindVerb !== "");
    if (extender === undefined) return false;
    const { name, namespace, uid } = pod.pod.metadata;
    const binding = { podName: name, podNamespace: namespace, podUID: uid, node: nodeName };
    const answer = await this.#post(extender, extender.bindVerb, binding, signal);
    if (typeof answer["error"] === "string" && answer["error"] !== "") throw new Error(answer["error"]);
    return true;
  }

  /** Extenders that manage all pods, or a resource that this one uses. */
  #for({ pod }: PodInfo): ExtenderConfiguration[] {
    const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
    const uses = (name: string) =>
      containers.some(
        ({ resources }) => resources?.requests?.[name] !== undefined || resources?.limits?.[name] !== undefined,
      );
    return this.#all.filter(({ managedResources }) => managedResources.length === 0 || managedResources.some(uses));
  }

  async #post(
    extender: ExtenderConfiguration,
    verb: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<Record<string, unknown>> {
    const url = `${extender.urlPrefix}/${verb}`;
    const timeout = new AbortController();
    const cancel = this.#deps.clock.schedule(extender.httpTimeoutMs, () =>
      timeout.abort(new Error(`extender ${url} did not answer within ${extender.httpTimeoutMs} ms`)),
    );
    try {
      const connection = this.#connections.get(extender)!;
      const { status, text } = await connection.post(url, body, AbortSignal.any([signal, timeout.signal]));
      if (status !== 200) throw new Error(`failed ${verb} with extender at URL ${extender.urlPrefix}, code ${status}`);
      const answer: unknown = JSON.parse(text);
      if (Array.isArray(answer) || isRecord(answer)) return answer as Record<string, unknown>;
      throw new Error(`extender ${url} answered with something else than an object`);
    } finally {
      cancel();
    }
  }
}

/** An extender with a node cache of its own wants names only. */
function argumentsFor(
  { nodeCacheCapable }: ExtenderConfiguration,
  { pod }: PodInfo,
  nodes: readonly NodeInfo[],
): object {
  return nodeCacheCapable
    ? { pod, nodenames: nodes.map(({ name }) => name) }
    : { pod, nodes: { apiVersion: "v1", kind: "NodeList", metadata: {}, items: nodes.map(({ node }) => node) } };
}

function acceptedNames(answer: Record<string, unknown>): Set<string> {
  const names = answer["nodenames"] ?? answer["nodeNames"];
  if (Array.isArray(names)) return new Set(names.map(String));
  const items = isRecord(answer["nodes"]) ? answer["nodes"]["items"] : undefined;
  const accepted = Array.isArray(items) ? items.filter(isRecord) : [];
  return new Set(accepted.map(({ metadata }) => (isRecord(metadata) ? String(metadata["name"]) : "")));
}

function narrowed(candidate: Candidate, meta: unknown): Candidate {
  const pods = isRecord(meta) && Array.isArray(meta["pods"]) ? meta["pods"].filter(isRecord).map(({ uid }) => uid) : [];
  const violations = isRecord(meta) ? Number(meta["numPDBViolations"] ?? candidate.violations) : candidate.violations;
  return { ...candidate, victims: candidate.victims.filter(({ uid }) => pods.includes(uid)), violations };
}
