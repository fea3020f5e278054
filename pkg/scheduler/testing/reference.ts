/**
 * The predicates and scores as the documentation words them: slow, without any index, sharing no code with the
 * scheduler. Judges the fast ones in differential tests.
 */
import type { Node, NodeSelectorTerm, Pod, PodAffinityTerm, TopologySpreadConstraint } from "#pkg/api/types/core-v1.ts";
import type { LabelSelector } from "#pkg/api/types/meta-v1.ts";

type Labels = Record<string, string>;
export interface World {
  readonly nodes: readonly Node[];
  /** With spec.nodeName. */
  readonly pods: readonly Pod[];
  readonly namespaces: Readonly<Record<string, Labels>>;
}

function expressionHolds(
  labels: Labels,
  { key, operator, values = [] }: { key: string; operator: string; values?: string[] },
): boolean {
  const has = Object.hasOwn(labels, key);
  const value = labels[key] ?? "";
  if (operator === "In") return has && values.includes(value);
  if (operator === "NotIn") return !has || !values.includes(value);
  if (operator === "Exists") return has;
  if (operator === "DoesNotExist") return !has;
  if (operator === "Gt") return has && Number(value) > Number(values[0]);
  return has && Number(value) < Number(values[0]);
}
function selects(selector: LabelSelector | undefined, labels: Labels = {}): boolean {
  if (selector === undefined) return false;
  const exact = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return exact && (selector.matchExpressions ?? []).every((expression) => expressionHolds(labels, expression));
}
function termHolds({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const fields = { "metadata.name": node.metadata.name };
  return (
    matchExpressions.every((expression) => expressionHolds(node.metadata.labels ?? {}, expression)) &&
    matchFields.every((expression) => expressionHolds(fields, expression))
  );
}
export function nodeAffinityHolds(pod: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  if (!Object.entries(pod.spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value)) return false;
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some((term) => termHolds(term, node));
}
function tolerated(pod: Pod, taint: { key: string; value?: string; effect: string }): boolean {
  return (pod.spec.tolerations ?? []).some(({ key, operator = "Equal", value = "", effect }) => {
    if (effect !== undefined && effect !== taint.effect) return false;
    if (key !== undefined && key !== taint.key) return false;
    return operator === "Exists" || value === (taint.value ?? "");
  });
}
function repelled(pod: Pod, node: Node): boolean {
  return (node.spec.taints ?? []).some((taint) => taint.effect !== "PreferNoSchedule" && !tolerated(pod, taint));
}

const milli = (text: string | number | undefined) =>
  text === undefined ? 0 : String(text).endsWith("m") ? Number.parseInt(String(text)) : Number(text) * 1000;
const mebi = (text: string | number | undefined) =>
  text === undefined
    ? 0
    : String(text).endsWith("Gi")
      ? Number.parseInt(String(text)) * 1024
      : Number.parseInt(String(text));
/** [milli CPU, MiB] of plain containers. */
function requests(pod: Pod, [cpu, memory]: readonly [number, number] = [0, 0]): [number, number] {
  let sum: [number, number] = [0, 0];
  for (const { resources } of pod.spec.containers) {
    const asked = resources?.requests;
    sum = [
      sum[0] + (asked?.["cpu"] === undefined ? cpu : milli(asked["cpu"])),
      sum[1] + (asked?.["memory"] === undefined ? memory : mebi(asked["memory"])),
    ];
  }
  return sum;
}
const on = (world: World, node: Node) => world.pods.filter((pod) => pod.spec.nodeName === node.metadata.name);
const topology = (node: Node, key: string) => node.metadata.labels?.[key];

function used(world: World, node: Node, defaults?: readonly [number, number]): [number, number] {
  return on(world, node).reduce<[number, number]>(
    ([cpu, memory], pod) => {
      const [more, evenMore] = requests(pod, defaults);
      return [cpu + more, memory + evenMore];
    },
    [0, 0],
  );
}
function fits(world: World, pod: Pod, node: Node): boolean {
  const [cpu, memory] = used(world, node);
  const [wantCpu, wantMemory] = requests(pod);
  const has = node.status?.allocatable ?? {};
  if (on(world, node).length + 1 > Number(has["pods"])) return false;
  return (
    (wantCpu === 0 || cpu + wantCpu <= milli(has["cpu"])) &&
    (wantMemory === 0 || memory + wantMemory <= mebi(has["memory"]))
  );
}
function portsOf(pod: Pod) {
  return pod.spec.containers.flatMap(({ ports = [] }) => ports.filter(({ hostPort }) => (hostPort ?? 0) > 0));
}
function portsFree(world: World, pod: Pod, node: Node): boolean {
  const wild = (ip: string | undefined) => ip === undefined || ip === "" || ip === "0.0.0.0";
  const taken = on(world, node).flatMap(portsOf);
  return !portsOf(pod).some((want) =>
    taken.some(
      (port) =>
        port.hostPort === want.hostPort &&
        (port.protocol ?? "TCP") === (want.protocol ?? "TCP") &&
        (wild(port.hostIP) || wild(want.hostIP) || port.hostIP === want.hostIP),
    ),
  );
}

/** Does a term stated by `stater` select `other`? */
function termSelects(world: World, stater: Pod, term: PodAffinityTerm, other: Pod): boolean {
  const names = term.namespaces ?? [];
  const own =
    names.length === 0 &&
    term.namespaceSelector === undefined &&
    other.metadata.namespace === stater.metadata.namespace;
  const chosen =
    term.namespaceSelector !== undefined &&
    selects(term.namespaceSelector, world.namespaces[other.metadata.namespace ?? ""]);
  return (
    (own || names.includes(other.metadata.namespace ?? "") || chosen) &&
    selects(term.labelSelector, other.metadata.labels)
  );
}
const required = (pod: Pod, kind: "podAffinity" | "podAntiAffinity") =>
  pod.spec.affinity?.[kind]?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
const preferred = (pod: Pod, kind: "podAffinity" | "podAntiAffinity") =>
  pod.spec.affinity?.[kind]?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
const nodeOf = (world: World, pod: Pod) => world.nodes.find(({ metadata }) => metadata.name === pod.spec.nodeName);
function sameDomain(world: World, node: Node, other: Pod, key: string): boolean {
  const place = nodeOf(world, other);
  const value = topology(node, key);
  return place !== undefined && value !== undefined && topology(place, key) === value;
}
function podAffinityHolds(world: World, pod: Pod, node: Node): boolean {
  const terms = required(pod, "podAffinity");
  if (terms.length === 0) return true;
  if (terms.some(({ topologyKey }) => topology(node, topologyKey) === undefined)) return false;
  const friends = world.pods.filter((other) => terms.every((term) => termSelects(world, pod, term, other)));
  if (terms.every(({ topologyKey }) => friends.some((other) => sameDomain(world, node, other, topologyKey))))
    return true;
  const counted = friends.some((other) => {
    const place = nodeOf(world, other);
    return place !== undefined && terms.some(({ topologyKey }) => topology(place, topologyKey) !== undefined);
  });
  return !counted && terms.every((term) => termSelects(world, pod, term, pod));
}
function podAntiAffinityHolds(world: World, pod: Pod, node: Node): boolean {
  const own = required(pod, "podAntiAffinity").some((term) =>
    world.pods.some(
      (other) => termSelects(world, pod, term, other) && sameDomain(world, node, other, term.topologyKey),
    ),
  );
  const theirs = world.pods.some((other) =>
    required(other, "podAntiAffinity").some(
      (term) => termSelects(world, other, term, pod) && sameDomain(world, node, other, term.topologyKey),
    ),
  );
  return !own && !theirs;
}

function spreadSelector(
  pod: Pod,
  { labelSelector, matchLabelKeys = [] }: TopologySpreadConstraint,
): LabelSelector | undefined {
  const extra = matchLabelKeys.flatMap((key) => {
    const value = pod.metadata.labels?.[key];
    return value === undefined ? [] : [{ key, operator: "In", values: [value] }];
  });
  return labelSelector === undefined
    ? undefined
    : { ...labelSelector, matchExpressions: [...(labelSelector.matchExpressions ?? []), ...extra] };
}
function spreadCounts(
  pod: Pod,
  constraint: TopologySpreadConstraint,
  node: Node,
  all: readonly TopologySpreadConstraint[],
): boolean {
  if (all.some(({ topologyKey }) => topology(node, topologyKey) === undefined)) return false;
  if ((constraint.nodeAffinityPolicy ?? "Honor") === "Honor" && !nodeAffinityHolds(pod, node)) return false;
  return constraint.nodeTaintsPolicy !== "Honor" || !repelled(pod, node);
}
function matching(world: World, pod: Pod, constraint: TopologySpreadConstraint, node: Node): number {
  const selector = spreadSelector(pod, constraint);
  return on(world, node).filter(
    ({ metadata }) =>
      metadata.namespace === pod.metadata.namespace &&
      metadata.deletionTimestamp === undefined &&
      selects(selector, metadata.labels),
  ).length;
}
function spreadHolds(world: World, pod: Pod, node: Node): boolean {
  const hard = (pod.spec.topologySpreadConstraints ?? []).filter(
    ({ whenUnsatisfiable }) => whenUnsatisfiable === "DoNotSchedule",
  );
  return hard.every((constraint) => {
    const value = topology(node, constraint.topologyKey);
    if (value === undefined) return false;
    const domains = new Map<string, number>();
    for (const other of world.nodes) {
      if (!spreadCounts(pod, constraint, other, hard)) continue;
      const domain = topology(other, constraint.topologyKey)!;
      domains.set(domain, (domains.get(domain) ?? 0) + matching(world, pod, constraint, other));
    }
    let lowest = domains.size === 0 ? 2 ** 31 - 1 : Math.min(...domains.values());
    if (domains.size < (constraint.minDomains ?? 1)) lowest = 0;
    const itself = selects(spreadSelector(pod, constraint), pod.metadata.labels) ? 1 : 0;
    return (domains.get(value) ?? 0) + itself - lowest <= constraint.maxSkew;
  });
}

/** The first plugin (in the profile's order) that refuses the node, or undefined. */
export function refusedBy(world: World, pod: Pod, node: Node): string | undefined {
  const cordonTolerated = tolerated(pod, { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" });
  if (node.spec.unschedulable === true && !cordonTolerated) return "NodeUnschedulable";
  if (pod.spec.nodeName !== undefined && pod.spec.nodeName !== node.metadata.name) return "NodeName";
  if (repelled(pod, node)) return "TaintToleration";
  if (!nodeAffinityHolds(pod, node)) return "NodeAffinity";
  if (!portsFree(world, pod, node)) return "NodePorts";
  if (!fits(world, pod, node)) return "NodeResourcesFit";
  if (!spreadHolds(world, pod, node)) return "PodTopologySpread";
  if (!podAffinityHolds(world, pod, node) || !podAntiAffinityHolds(world, pod, node)) return "InterPodAffinity";
  return undefined;
}

const DEFAULTS = [100, 200] as const;
type Score = (world: World, pod: Pod, nodes: readonly Node[]) => number[];

const upTo100 = (raw: readonly number[], reverse: boolean): number[] => {
  const highest = Math.max(0, ...raw);
  if (highest === 0) return raw.map(() => (reverse ? 100 : 0));
  return raw.map((score) =>
    reverse ? 100 - Math.floor((score * 100) / highest) : Math.floor((score * 100) / highest),
  );
};

/** Scores (0 to 100) of each plugin for nodes that fit. */
export const REFERENCE_SCORES: Readonly<Record<string, Score>> = {
  TaintToleration: (_world, pod, nodes) =>
    upTo100(
      nodes.map(
        ({ spec }) =>
          (spec.taints ?? []).filter((taint) => taint.effect === "PreferNoSchedule" && !tolerated(pod, taint)).length,
      ),
      true,
    ),
  NodeAffinity: (_world, pod, nodes) => {
    const terms = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    const weightOn = (node: Node) =>
      terms.reduce((sum, { preference, weight }) => sum + (termHolds(preference, node) ? weight : 0), 0);
    return upTo100(nodes.map(weightOn), false);
  },
  NodeResourcesFit: (world, pod, nodes) =>
    nodes.map((node) => {
      const [cpu, memory] = used(world, node, DEFAULTS);
      const [wantCpu, wantMemory] = requests(pod, DEFAULTS);
      const free = (has: number, want: number) => (want > has ? 0 : Math.floor(((has - want) * 100) / has));
      const has = node.status?.allocatable ?? {};
      return Math.floor((free(milli(has["cpu"]), cpu + wantCpu) + free(mebi(has["memory"]), memory + wantMemory)) / 2);
    }),
  NodeResourcesBalancedAllocation: (world, pod, nodes) =>
    nodes.map((node) => {
      if (requests(pod).every((want) => want === 0)) return 0;
      const [cpu, memory] = used(world, node);
      const [wantCpu, wantMemory] = requests(pod);
      const has = node.status?.allocatable ?? {};
      const shares = [
        Math.min(1, (cpu + wantCpu) / milli(has["cpu"])),
        Math.min(1, (memory + wantMemory) / mebi(has["memory"])),
      ];
      return Math.trunc((1 - Math.abs(shares[0]! - shares[1]!) / 2) * 100);
    }),
  InterPodAffinity: (world, pod, nodes) => {
    const raw = nodes.map((node) => {
      let sum = 0;
      for (const other of world.pods) {
        const add = (
          terms: readonly { weight: number; podAffinityTerm: PodAffinityTerm }[],
          sign: number,
          stater: Pod,
          target: Pod,
        ) => {
          for (const { weight, podAffinityTerm: term } of terms)
            if (termSelects(world, stater, term, target) && sameDomain(world, node, other, term.topologyKey))
              sum += sign * weight;
        };
        add(preferred(pod, "podAffinity"), 1, pod, other);
        add(preferred(pod, "podAntiAffinity"), -1, pod, other);
        add(preferred(other, "podAffinity"), 1, other, pod);
        add(preferred(other, "podAntiAffinity"), -1, other, pod);
        add(
          required(other, "podAffinity").map((podAffinityTerm) => ({ weight: 1, podAffinityTerm })),
          1,
          other,
          pod,
        );
      }
      return sum;
    });
    const lowest = Math.min(...raw);
    const range = Math.max(...raw) - lowest;
    return raw.map((score) => (range === 0 ? 0 : Math.trunc((100 * (score - lowest)) / range)));
  },
  PodTopologySpread: (world, pod, nodes) => {
    const soft = (pod.spec.topologySpreadConstraints ?? []).filter(
      ({ whenUnsatisfiable }) => whenUnsatisfiable === "ScheduleAnyway",
    );
    if (soft.length === 0) return nodes.map(() => 0);
    const ignored = (node: Node) => soft.some(({ topologyKey }) => topology(node, topologyKey) === undefined);
    const eligible = nodes.filter((node) => !ignored(node));
    const raw = nodes.map((node) => {
      if (ignored(node)) return undefined;
      let sum = 0;
      for (const constraint of soft) {
        const { topologyKey, maxSkew } = constraint;
        const isHost = topologyKey === "kubernetes.io/hostname";
        const value = topology(node, topologyKey)!;
        const domains = new Set(eligible.map((other) => topology(other, topologyKey)));
        const peers = isHost
          ? [node]
          : world.nodes.filter(
              (other) => topology(other, topologyKey) === value && spreadCounts(pod, constraint, other, soft),
            );
        const count = peers.reduce((total, other) => total + matching(world, pod, constraint, other), 0);
        sum += count * Math.log((isHost ? eligible.length : domains.size) + 2) + (maxSkew - 1);
      }
      return Math.round(sum);
    });
    const known = raw.filter((score) => score !== undefined);
    const highest = Math.max(0, ...known);
    const lowest = Math.min(...known);
    return raw.map((score) =>
      score === undefined ? 0 : highest === 0 ? 100 : Math.trunc((100 * (highest + lowest - score)) / highest),
    );
  },
};
