import type { Job } from "#pkg/api/types/batch-v1.ts";
import type { PodGroup, Workload } from "#pkg/api/types/scheduling-v1alpha2.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { holdBy, isOn, objectAs, oldObjectAs, refusal } from "../attributes.ts";

const GROUP = "scheduling.k8s.io";
const FINALIZER = "scheduling.k8s.io/podgroup-protection";

/** A group of pods cannot vanish while pods belong to it: a finalizer holds it. */
export class PodGroupProtection implements AdmissionPlugin {
  readonly name = "PodGroupProtection";
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, GROUP, "podgroups", "CREATE");
  }
  admit(attributes: AdmissionAttributes): void {
    holdBy(FINALIZER, attributes);
  }
}

/** A group of pods names a template only if its workload has that template. */
export class PodGroupWorkloadExists implements AdmissionPlugin {
  readonly name = "PodGroupWorkloadExists";
  readonly #workloads: ObjectSource<Workload>;
  constructor(workloads: ObjectSource<Workload>) {
    this.#workloads = workloads;
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, GROUP, "podgroups", "CREATE");
  }
  validate(attributes: AdmissionAttributes): void {
    const reference = objectAs<PodGroup>(attributes).spec?.podGroupTemplateRef?.workload;
    if (reference === undefined || reference === null) return;
    const workload = this.#workloads.get(attributes.namespace, reference.workloadName);
    const shown = `Workload ${JSON.stringify(reference.workloadName)}`;
    if (workload === undefined) throw refusal(attributes, `PodGroup rejected: ${shown} not found`);
    if (workload.metadata.deletionTimestamp !== undefined)
      throw refusal(attributes, `PodGroup rejected: ${shown} is being deleted`);
    if (workload.spec.podGroupTemplates?.some(({ name }) => name === reference.podGroupTemplateName)) return;
    const template = `PodGroupTemplate ${JSON.stringify(reference.podGroupTemplateName)}`;
    throw refusal(attributes, `PodGroup rejected: ${template} not found in ${shown}`);
  }
}

/** A job whose pods are scheduled all at once or not at all keeps its number of pods. */
export class JobValidation implements AdmissionPlugin {
  readonly name = "JobValidation";
  readonly #podGroups: ObjectSource<PodGroup>;
  constructor(podGroups: ObjectSource<PodGroup>) {
    this.#podGroups = podGroups;
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "batch", "jobs", "UPDATE");
  }
  validate(attributes: AdmissionAttributes): void {
    const old = oldObjectAs<Job>(attributes);
    if (old === undefined || objectAs<Job>(attributes).spec?.parallelism === old.spec?.parallelism) return;
    const gang = this.#groupsOf(old, attributes.namespace).find(({ spec }) => spec.schedulingPolicy.gang !== undefined);
    if (gang === undefined) return;
    const shown = JSON.stringify(gang.metadata.name);
    throw refusal(attributes, `cannot change parallelism for a Job referencing gang-scheduled PodGroup ${shown}`);
  }
  #groupsOf({ metadata, spec }: Job, namespace: string): PodGroup[] {
    const named = spec?.template.spec?.schedulingGroup?.podGroupName;
    if (named === undefined)
      return this.#podGroups
        .list(namespace)
        .filter((group) =>
          group.metadata.ownerReferences?.some((owner) => owner.controller === true && owner.uid === metadata.uid),
        );
    const group = this.#podGroups.get(namespace, named);
    return group === undefined ? [] : [group];
  }
}
