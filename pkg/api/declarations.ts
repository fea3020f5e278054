import {
  mutatingPolicies,
  mutatingWebhookConfiguration,
  validatingAdmissionPolicy,
  validatingAdmissionPolicyBinding,
  validatingWebhookConfiguration,
} from "./admissionregistration/policies.ts";
import { customResourceDefinition } from "./apiextensions/custom-resource-definition.ts";
import { apiService } from "./apiregistration/api-service.ts";
import { controllerRevision, daemonSet, deployment, replicaSet, statefulSet } from "./apps/workloads.ts";
import { autoscalerV1, autoscalerV2 } from "./autoscaling/horizontal-pod-autoscaler.ts";
import { cronJob, job } from "./batch/job.ts";
import { certificateSigningRequest, clusterTrustBundles, podCertificateRequest } from "./certificates/certificates.ts";
import { lease, leaseCandidates } from "./coordination/lease.ts";
import { configMap, secret, serviceAccount } from "./core/config.ts";
import { namespace } from "./core/namespace.ts";
import { node } from "./core/node.ts";
import { pod } from "./core/pod.ts";
import { service } from "./core/service.ts";
import { componentStatus, endpoints, limitRange, resourceQuota } from "./core/small.ts";
import { persistentVolume, persistentVolumeClaim } from "./core/volumes.ts";
import { podTemplate, replicationController } from "./core/workloads.ts";
import type { KindDeclaration } from "./define.ts";
import { endpointSlice } from "./discovery/endpoint-slice.ts";
import { coreEvent, event } from "./events/event.ts";
import { flowSchema, priorityLevelConfiguration } from "./flowcontrol/flowcontrol.ts";
import { storageVersion, storageVersionMigration } from "./internal/storage-version.ts";
import {
  ingress,
  ingressClass,
  ipAddress,
  ipAddressBeta,
  networkPolicy,
  serviceCIDR,
  serviceCIDRBeta,
} from "./networking/networking.ts";
import { runtimeClass } from "./node/runtime-class.ts";
import { podDisruptionBudget } from "./policy/pod-disruption-budget.ts";
import { clusterRole, clusterRoleBinding, role, roleBinding } from "./rbac/roles.ts";
import { dynamicResources, resourcePoolStatusRequest, taintRules } from "./resource/dynamic.ts";
import { podGroup, priorityClass, workload } from "./scheduling/scheduling.ts";
import {
  csiDriver,
  csiNode,
  csiStorageCapacity,
  storageClass,
  volumeAttachment,
  volumeAttributesClass,
  volumeAttributesClassBeta,
} from "./storage/storage.ts";

/** What each kind adds to the tables. Kinds that add nothing (reviews, bindings) are not here. */
export const declarations: readonly KindDeclaration[] = [
  componentStatus,
  configMap,
  endpoints,
  coreEvent,
  limitRange,
  namespace,
  node,
  persistentVolumeClaim,
  persistentVolume,
  pod,
  podTemplate,
  replicationController,
  resourceQuota,
  secret,
  serviceAccount,
  service,
  mutatingWebhookConfiguration,
  validatingWebhookConfiguration,
  validatingAdmissionPolicy,
  validatingAdmissionPolicyBinding,
  ...mutatingPolicies,
  customResourceDefinition,
  apiService,
  controllerRevision,
  daemonSet,
  deployment,
  replicaSet,
  statefulSet,
  autoscalerV1,
  autoscalerV2,
  cronJob,
  job,
  certificateSigningRequest,
  ...clusterTrustBundles,
  podCertificateRequest,
  lease,
  ...leaseCandidates,
  endpointSlice,
  event,
  flowSchema,
  priorityLevelConfiguration,
  storageVersion,
  storageVersionMigration,
  ingress,
  ingressClass,
  ipAddress,
  ipAddressBeta,
  networkPolicy,
  serviceCIDR,
  serviceCIDRBeta,
  runtimeClass,
  podDisruptionBudget,
  clusterRole,
  clusterRoleBinding,
  role,
  roleBinding,
  ...dynamicResources,
  resourcePoolStatusRequest,
  ...taintRules,
  podGroup,
  priorityClass,
  workload,
  csiDriver,
  csiNode,
  csiStorageCapacity,
  storageClass,
  volumeAttachment,
  volumeAttributesClass,
  volumeAttributesClassBeta,
];
