/** Random clusters and pods for differential tests: small worlds where everything meets everything. */
import type {
  Affinity,
  Container,
  Node,
  Pod,
  PodAffinityTerm,
  PodSpec,
  TopologySpreadConstraint,
} from "#pkg/api/types/core-v1.ts";
import type { LabelSelector } from "#pkg/api/types/meta-v1.ts";
import type { PodDisruptionBudget } from "#pkg/api/types/policy-v1.ts";
import type { Random } from "#pkg/util/index.ts";
import { stored } from "./offline.ts";
import { drawVolumes } from "./random-volumes.ts";

export const NAMESPACES = { red: { team: "a" }, blue: { team: "b" }, green: { team: "a", env: "test" } };
const NAMES = Object.keys(NAMESPACES);
const KEYS = ["app", "tier"];
const VALUES = ["x", "y", "z"];
const IMAGES = ["app:1", "app:2", "base:latest"];
const TOPOLOGIES = ["kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack"];

/** Draws things; every choice comes from one seeded Random, so a failing world can be made again. */
export class Draw {
  readonly #random: Random;
  constructor(random: Random) {
    this.#random = random;
  }
  chance(probability: number): boolean {
    return this.#random.float() < probability;
  }
  int(bound: number): number {
    return this.#random.int(bound);
  }
  one<T>(choices: readonly T[]): T {
    return choices[this.#random.int(choices.length)]!;
  }
  maybe<T>(probability: number, make: () => T): T | undefined {
    return this.chance(probability) ? make() : undefined;
  }
  few<T>(max: number, make: () => T): T[] {
    return Array.from({ length: this.#random.int(max + 1) }, make);
  }

  labels(): Record<string, string> {
    return Object.fromEntries(KEYS.filter(() => this.chance(0.7)).map((key) => [key, this.one(VALUES)]));
  }
  node(name: string): Node {
    const labels: Record<string, string> = { ...this.labels(), size: String(this.int(5)) };
    if (this.chance(0.95)) labels["kubernetes.io/hostname"] = name;
    if (this.chance(0.85)) labels["topology.kubernetes.io/zone"] = `zone-${this.int(3)}`;
    if (this.chance(0.6)) labels["rack"] = `rack-${this.int(4)}`;
    const taints = this.few(1, () => ({
      key: this.one(["dedicated", "gpu"]),
      value: this.one(["a", "b"]),
      effect: this.one(["NoSchedule", "NoExecute", "PreferNoSchedule", "PreferNoSchedule"]),
    }));
    const allocatable = {
      cpu: String(1 + this.int(4)),
      memory: `${1 + this.int(8)}Gi`,
      pods: String(3 + this.int(8)),
      ...this.maybe(0.8, () => ({ "ephemeral-storage": `${1 + this.int(4)}Gi` })),
      ...this.maybe(0.5, () => ({ "example.com/gpu": String(this.int(3)) })),
    };
    const images = IMAGES.filter(() => this.chance(0.4)).map((image) => ({
      names: [image],
      sizeBytes: 2 ** 20 * (1 + this.int(1500)),
    }));
    return stored<Node>({
      metadata: { name, labels },
      spec: {
        ...(taints.length > 0 && this.chance(0.4) ? { taints } : {}),
        ...(this.chance(0.05) ? { unschedulable: true } : {}),
      },
      status: { allocatable, ...(images.length === 0 ? {} : { images }) },
    });
  }
  pod(name: string): Pod {
    const ports = this.maybe(0.15, () => [
      {
        containerPort: 80,
        hostPort: 8000 + this.int(2),
        protocol: this.one(["TCP", "UDP"]),
        hostIP: this.one(["", "127.0.0.1", "10.0.0.1"]),
      },
    ]);
    const spec: PodSpec = {
      containers: [
        { ...this.container("c"), ...(ports === undefined ? {} : { ports }) },
        ...(this.chance(0.2) ? [this.container("d")] : []),
      ],
      ...this.maybe(0.2, () => ({
        initContainers: this.few(3, () => ({
          ...this.container("i"),
          ...this.maybe(0.5, () => ({ restartPolicy: "Always" })),
        })),
      })),
      ...this.maybe(0.1, () => ({ overhead: { cpu: "50m", memory: "64Mi" } })),
      ...this.maybe(0.8, () => ({ priority: this.int(4) })),
      ...this.maybe(0.3, () => ({ volumes: drawVolumes(this) })),
      affinity: this.affinity(),
      ...this.maybe(0.4, () => ({ topologySpreadConstraints: [this.spread(), ...this.few(1, () => this.spread())] })),
      ...this.maybe(0.1, () => ({ nodeSelector: { app: this.one(VALUES) } })),
      ...this.maybe(0.4, () => ({
        tolerations: [
          {
            key: this.one(["dedicated", "gpu"]),
            ...this.one([
              { operator: "Exists" },
              { value: "a" },
              { operator: "Equal", value: "b", effect: "NoSchedule" },
            ]),
          },
        ],
      })),
    };
    const metadata = {
      namespace: this.one(NAMES),
      name,
      labels: this.labels(),
      ...this.maybe(0.05, () => ({ deletionTimestamp: "2026-01-01T00:00:00Z" })),
    };
    const status = this.maybe(0.8, () => ({ startTime: `2026-01-01T00:00:0${this.int(4)}Z` }));
    return stored<Pod>({ metadata, spec, ...(status === undefined ? {} : { status }) });
  }
  container(name: string): Container {
    const requests = {
      ...this.maybe(0.7, () => ({ cpu: `${100 * (1 + this.int(10))}m` })),
      ...this.maybe(0.5, () => ({ memory: `${128 * (1 + this.int(8))}Mi` })),
      ...this.maybe(0.1, () => ({ "ephemeral-storage": `${256 * (1 + this.int(4))}Mi` })),
      ...this.maybe(0.1, () => ({ "example.com/gpu": String(this.int(3)) })),
    };
    return { name, image: this.one(["app:1", "app:2", "base", "other"]), resources: { requests } };
  }
  budget(name: string): PodDisruptionBudget {
    return stored<PodDisruptionBudget>({
      metadata: { namespace: this.one(NAMES), name },
      spec: { selector: { matchLabels: { [this.one(KEYS)]: this.one(VALUES) } } },
      status: { disruptionsAllowed: this.int(2), currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 },
    });
  }

  selector(): LabelSelector {
    const matchLabels = this.maybe(0.6, () => ({ [this.one(KEYS)]: this.one(VALUES) }));
    const operator = this.one(["In", "NotIn", "Exists", "DoesNotExist"]);
    const values = operator.endsWith("In") ? [this.one(VALUES), this.one(VALUES)] : undefined;
    const matchExpressions = this.maybe(0.5, () => [
      { key: this.one(KEYS), operator, ...(values === undefined ? {} : { values }) },
    ]);
    return {
      ...(matchLabels === undefined ? {} : { matchLabels }),
      ...(matchExpressions === undefined ? {} : { matchExpressions }),
    };
  }
  term(): PodAffinityTerm {
    return {
      topologyKey: this.one(TOPOLOGIES),
      labelSelector: this.selector(),
      ...this.maybe(0.2, () => ({ namespaces: [this.one(NAMES)] })),
      ...this.maybe(0.2, () => ({ namespaceSelector: this.one([{}, { matchLabels: { team: "a" } }]) })),
    };
  }
  spread(): TopologySpreadConstraint {
    return {
      topologyKey: this.one(TOPOLOGIES),
      maxSkew: 1 + this.int(3),
      whenUnsatisfiable: this.one(["DoNotSchedule", "ScheduleAnyway"]),
      labelSelector: this.selector(),
      ...this.maybe(0.2, () => ({ minDomains: 1 + this.int(4) })),
      ...this.maybe(0.3, () => ({ nodeAffinityPolicy: this.one(["Honor", "Ignore"]) })),
      ...this.maybe(0.3, () => ({ nodeTaintsPolicy: this.one(["Honor", "Ignore"]) })),
      ...this.maybe(0.3, () => ({ matchLabelKeys: [this.one(KEYS)] })),
    };
  }
  affinity(): Affinity {
    const weighted = () => ({ weight: 1 + this.int(100), podAffinityTerm: this.term() });
    const podTerms = (probability: number) => ({
      requiredDuringSchedulingIgnoredDuringExecution: this.chance(probability)
        ? [this.term(), ...this.few(1, () => this.term())]
        : [],
      preferredDuringSchedulingIgnoredDuringExecution: this.chance(0.2) ? [weighted()] : [],
    });
    const expression = () =>
      this.one([
        { key: "app", operator: "In", values: ["x", "y"] },
        { key: "tier", operator: "NotIn", values: ["z"] },
        { key: "rack", operator: "Exists" },
        { key: "size", operator: "Gt", values: ["1"] },
        { key: "size", operator: "Lt", values: ["4"] },
      ]);
    return {
      nodeAffinity: {
        ...this.maybe(0.2, () => ({
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [
              { matchExpressions: [expression(), expression()] },
              this.chance(0.8)
                ? { matchExpressions: [expression()] }
                : { matchFields: [{ key: "metadata.name", operator: "In", values: [`n${this.int(12)}`] }] },
            ],
          },
        })),
        ...this.maybe(0.3, () => ({
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 1 + this.int(100), preference: { matchExpressions: [expression()] } },
            { weight: 1 + this.int(100), preference: { matchExpressions: [expression()] } },
          ],
        })),
      },
      podAffinity: podTerms(0.15),
      podAntiAffinity: podTerms(0.15),
    };
  }
}
