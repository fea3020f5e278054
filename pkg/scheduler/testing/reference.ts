/**
 * The predicates and scores as the documentation words them: slow, without any index, sharing no code with the
 * scheduler. Judges the fast ones in differential tests.
 */
import type { Container, Node, Pod, PodAffinityTerm, TopologySpreadConstraint } from "#pkg/api/types/core-v1.ts";
import type { LabelSelector } from "#pkg/api/types/meta-v1.ts";
import { on, selects, termHolds } from "./reference-basics.ts";
import type { World } from "./reference-basics.ts";
import { volumesRefused, volumesRefusedBy } from "./reference-volumes.ts";

function nodeAffinityHolds(pod: Pod, node: Node): boolean {
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
const RESOURCES = ["cpu", "memory", "ephemeral-storage", "example.com/gpu"];
const amount = (name: string, text: string | number | undefined) => {
  if (name === "cpu") return milli(text);
  return name === "memory" || name === "ephemeral-storage" ? mebi(text) : Number(text ?? 0);
};
/** What the pod takes of a resource; containers that ask for none count as `otherwise`. */
function request({ spec }: Pod, name: string, otherwise = 0): number {
  const of = ({ resources }: Container) => {
    const asked = resources?.requests?.[name];
    return asked === undefined ? otherwise : amount(name, asked);
  };
  let sidecars = 0;
  let starting = 0;
  for (const container of spec.initContainers ?? []) {
    if (container.restartPolicy === "Always") sidecars += of(container);
    starting = Math.max(starting, container.restartPolicy === "Always" ? sidecars : sidecars + of(container));
  }
  const running = spec.containers.reduce((sum, container) => sum + of(container), sidecars);
  return Math.max(running, starting) + amount(name, spec.overhead?.[name]);
}
/** [milli CPU, MiB]. */
function requests(pod: Pod, [cpu, memory]: readonly [number, number] = [0, 0]): [number, number] {
  return [request(pod, "cpu", cpu), request(pod, "memory", memory)];
}
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
  const has = node.status?.allocatable ?? {};
  const present = on(world, node);
  if (present.length + 1 > Number(has["pods"])) return false;
  return RESOURCES.every((name) => {
    const wanted = request(pod, name);
    const taken = present.reduce((sum, other) => sum + request(other, name), 0);
    return wanted === 0 || taken + wanted <= amount(name, has[name]);
  });
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
  const anywhere = volumesRefused(world, pod);
  if (anywhere !== undefined) return anywhere;
  const cordonTolerated = tolerated(pod, { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" });
  if (node.spec.unschedulable === true && !cordonTolerated) return "NodeUnschedulable";
  if (pod.spec.nodeName !== undefined && pod.spec.nodeName !== node.metadata.name) return "NodeName";
  if (repelled(pod, node)) return "TaintToleration";
  if (!nodeAffinityHolds(pod, node)) return "NodeAffinity";
  if (!portsFree(world, pod, node)) return "NodePorts";
  if (!fits(world, pod, node)) return "NodeResourcesFit";
  const volumes = volumesRefusedBy(world, pod, node);
  if (volumes !== undefined) return volumes;
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
  ImageLocality: (world, pod, nodes) => {
    const MIB = 2 ** 20;
    const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
    const sizeOn = (node: Node, image: string) =>
      node.status?.images?.find(({ names }) => names?.includes(image))?.sizeBytes ?? 0;
    return nodes.map((node) => {
      const sum = containers.reduce((total, { image = "" }) => {
        const tagged = image.includes(":") ? image : `${image}:latest`;
        const spread = world.nodes.filter((other) => sizeOn(other, tagged) > 0).length / world.nodes.length;
        return total + Math.trunc(sizeOn(node, tagged) * spread);
      }, 0);
      const most = 1000 * MIB * containers.length;
      const bounded = Math.min(Math.max(sum, 23 * MIB), most);
      return Math.trunc((100 * (bounded - 23 * MIB)) / (most - 23 * MIB));
    });
  },
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
