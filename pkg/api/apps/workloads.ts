import { deepEqual, isDns1123Label } from "#pkg/apimachinery/index.ts";
import { defineResource } from "../define.ts";
import { defaultPodTemplate } from "../core/pod-defaults.ts";
import type { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet } from "../types/apps-v1.ts";
import { templateWarnings, workloadWarnings } from "../core/validation/pod-warnings.ts";
import { claimSpecWarnings } from "../core/validation/volume-warnings.ts";
import {
  validateControllerRevision,
  validateControllerRevisionUpdate,
  validateDaemonSet,
  validateDaemonSetStatus,
  validateDaemonSetUpdate,
  validateDeployment,
  validateDeploymentStatus,
  validateDeploymentUpdate,
  validateReplicaSet,
  validateReplicaSetUpdate,
  validateReplicaStatus,
  validateStatefulSet,
  validateStatefulSetStatus,
  validateStatefulSetUpdate,
} from "./validation.ts";
import {
  printControllerRevision,
  printDaemonSet,
  printDeployment,
  printReplicaSet,
  printStatefulSet,
} from "./print.ts";

export const deployment = defineResource<Deployment>({
  group: "apps",
  version: "v1",
  kind: "Deployment",
  printRow: printDeployment,
  strategy: {
    sharesUnchanged: true,
    defaults({ spec }) {
      if (spec?.strategy?.type === "RollingUpdate") {
        spec.strategy.rollingUpdate ??= {};
        spec.strategy.rollingUpdate.maxUnavailable ??= "25%";
        spec.strategy.rollingUpdate.maxSurge ??= "25%";
      }
      defaultPodTemplate(spec?.template);
    },
    // The controller copies annotations to replica sets: they are part of what it must have observed.
    bumpsGeneration: ({ metadata }, old) => !deepEqual(metadata.annotations ?? {}, old.metadata.annotations ?? {}),
    validate: validateDeployment,
    validateUpdate: validateDeploymentUpdate,
    warnings: workloadWarnings,
  },
  status: {
    resetMetadata: ["labels"],
    validateUpdate: validateDeploymentStatus,
  },
});

export const replicaSet = defineResource<ReplicaSet>({
  group: "apps",
  version: "v1",
  kind: "ReplicaSet",
  printRow: printReplicaSet,
  initialStatus: { replicas: 0 },
  strategy: {
    sharesUnchanged: true,
    defaults({ spec }) {
      defaultPodTemplate(spec?.template);
    },
    validate: validateReplicaSet,
    validateUpdate: validateReplicaSetUpdate,
    warnings: workloadWarnings,
  },
  status: {
    validateUpdate: validateReplicaStatus,
  },
});

/** Where a daemon set's template generation went when the field was retired. */
const TEMPLATE_GENERATION = "deprecated.daemonset.template.generation";

function setTemplateGeneration(daemonSet: DaemonSet, generation: number): void {
  daemonSet.metadata.annotations = { ...daemonSet.metadata.annotations, [TEMPLATE_GENERATION]: String(generation) };
}

export const daemonSet = defineResource<DaemonSet>({
  group: "apps",
  version: "v1",
  kind: "DaemonSet",
  printRow: printDaemonSet,
  initialStatus: { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 },
  strategy: {
    sharesUnchanged: true,
    defaults(daemonSet) {
      const { spec, metadata } = daemonSet;
      // A client's own for the owners of fields, although the server counts.
      if (metadata.annotations?.[TEMPLATE_GENERATION] === undefined) setTemplateGeneration(daemonSet, 0);
      if (spec?.updateStrategy?.type === "RollingUpdate") {
        spec.updateStrategy.rollingUpdate ??= {};
        spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
        spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
      }
      defaultPodTemplate(spec?.template);
    },
    prepareForCreate(daemonSet) {
      setTemplateGeneration(daemonSet, 1);
    },
    prepareForUpdate(daemonSet, old) {
      const before = Number(old.metadata.annotations?.[TEMPLATE_GENERATION] ?? 0);
      const same = deepEqual(daemonSet.spec.template, old.spec.template);
      setTemplateGeneration(daemonSet, same ? before : before + 1);
    },
    validate: validateDaemonSet,
    validateUpdate: validateDaemonSetUpdate,
    warnings: (daemonSet, old) => templateWarnings(daemonSet, old, daemonSet.spec.template, "spec.template"),
  },
  status: {
    validateUpdate: validateDaemonSetStatus,
  },
});

function statefulSetWarnings(set: StatefulSet, old: StatefulSet | undefined): string[] {
  const { template, volumeClaimTemplates = [], revisionHistoryLimit = 0 } = set.spec ?? {};
  // Upstream spells the path otherwise in an update.
  const member = old === undefined ? "" : ".Spec";
  const endless = "a negative value retains all historical revisions; a value >= 0 is recommended";
  return [
    ...templateWarnings(set, old, template, "spec.template"),
    ...volumeClaimTemplates.flatMap(({ spec }, index) =>
      claimSpecWarnings(spec, `spec.volumeClaimTemplates[${index}]${member}`),
    ),
    ...(revisionHistoryLimit < 0 ? [`spec.revisionHistoryLimit: ${endless}`] : []),
  ];
}

export const statefulSet = defineResource<StatefulSet>({
  group: "apps",
  version: "v1",
  kind: "StatefulSet",
  printRow: printStatefulSet,
  initialStatus: { replicas: 0, availableReplicas: 0 },
  strategy: {
    sharesUnchanged: true,
    defaults({ spec }) {
      const strategy = spec?.updateStrategy;
      // Who asks for a rolling update without saying how is not told how, either.
      if (strategy !== undefined && !strategy.type) {
        strategy.type = "RollingUpdate";
        strategy.rollingUpdate ??= {};
      }
      if (strategy?.type === "RollingUpdate" && strategy.rollingUpdate !== undefined) {
        strategy.rollingUpdate.partition ??= 0;
      }
      for (const claim of spec?.volumeClaimTemplates ?? []) {
        claim.apiVersion = "v1";
        claim.kind = "PersistentVolumeClaim";
      }
      defaultPodTemplate(spec?.template);
    },
    // Pods are named after the set, and their names are host names.
    validateName: isDns1123Label,
    validate: validateStatefulSet,
    validateUpdate: validateStatefulSetUpdate,
    warnings: statefulSetWarnings,
  },
  status: {
    validateUpdate: validateStatefulSetStatus,
  },
});

export const controllerRevision = defineResource<ControllerRevision>({
  group: "apps",
  version: "v1",
  kind: "ControllerRevision",
  printRow: printControllerRevision,
  strategy: { validate: validateControllerRevision, validateUpdate: validateControllerRevisionUpdate },
});
