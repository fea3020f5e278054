import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { PriorityClass } from "#pkg/api/types/scheduling-v1.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { changeSpec, isOn, objectAs, oldObjectAs, ownSpec, refusal } from "../attributes.ts";

/** Turns priorityClassName into priority and preemption policy; keeps the default class unique. */
export class Priority implements AdmissionPlugin {
  readonly name = "Priority";
  readonly sparesShared = true;
  readonly #classes: ObjectSource<PriorityClass>;
  constructor(classes: ObjectSource<PriorityClass>) {
    this.#classes = classes;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return (
      isOn(attributes, "", "pods", "CREATE", "UPDATE") ||
      isOn(attributes, "scheduling.k8s.io", "priorityclasses", "CREATE", "UPDATE")
    );
  }

  admit(attributes: AdmissionAttributes): void {
    if (attributes.resource.plural !== "pods") return;
    const pod = objectAs<Pod>(attributes);
    if (pod.spec === undefined) return;
    if (attributes.operation === "CREATE") this.#admitPod(attributes, pod);
    else {
      // Fields the client left out of an update keep their values.
      const old = oldObjectAs<Pod>(attributes);
      if (pod.spec === old?.spec) return;
      const spec = ownSpec(attributes);
      if (spec.priority === undefined) spec.priority = old?.spec?.priority;
      if (spec.preemptionPolicy === undefined) spec.preemptionPolicy = old?.spec?.preemptionPolicy;
    }
  }

  validate(attributes: AdmissionAttributes): void {
    if (attributes.resource.plural !== "priorityclasses") return;
    const wanted = objectAs<PriorityClass>(attributes);
    if (wanted.globalDefault !== true) return;
    const present = this.#default();
    if (present !== undefined && present.metadata.name !== wanted.metadata.name) {
      throw refusal(
        attributes,
        `PriorityClass ${present.metadata.name} is already marked as default. Only one default can exist`,
      );
    }
  }

  #default(): PriorityClass | undefined {
    // With two defaults (written past admission) the lower one counts.
    return this.#classes
      .list()
      .filter(({ globalDefault }) => globalDefault === true)
      .sort((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
  }

  #admitPod(attributes: AdmissionAttributes, pod: Pod): void {
    const spec = pod.spec!;
    const named = spec.priorityClassName !== undefined && spec.priorityClassName !== "";
    const chosen = named ? this.#classes.get("", spec.priorityClassName!) : this.#default();
    if (named && chosen === undefined)
      throw refusal(attributes, `no PriorityClass with name ${spec.priorityClassName} was found`);
    const priority = chosen?.value ?? 0;
    const preemptionPolicy = chosen?.preemptionPolicy ?? "PreemptLowerPriority";
    if (spec.priority !== undefined && spec.priority !== priority) {
      throw refusal(
        attributes,
        `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${priority} from the given PriorityClass name`,
      );
    }
    if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== preemptionPolicy) {
      throw refusal(
        attributes,
        `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${preemptionPolicy} from the given PriorityClass name`,
      );
    }
    const priorityClassName = named ? spec.priorityClassName : chosen?.metadata.name;
    changeSpec(pod, `priority ${priority} ${preemptionPolicy} ${priorityClassName ?? ""}`, (own) => {
      if (priorityClassName !== undefined) own.priorityClassName = priorityClassName;
      own.priority = priority;
      own.preemptionPolicy = preemptionPolicy;
    });
  }
}
