import type { Controller } from "#pkg/client/index.ts";
import type { ControllerEnv } from "./common/env.ts";
import { createAttachDetachController } from "./attachdetach/attachdetach.ts";
import { createBootstrapSigner, createTokenCleaner } from "./bootstrap/bootstrap.ts";
import { createCronJobController } from "./cronjob/cronjob.ts";
import { createCsrApprovingController, createCsrCleaner, createCsrSigningController } from "./csr/csr.ts";
import { createDisruptionController } from "./disruption/disruption.ts";
import { createEphemeralVolumeController } from "./ephemeral/ephemeral.ts";
import { createLocalPathProvisioner } from "./localpath/provisioner.ts";
import { createEndpointSliceMirroringController } from "./mirroring/mirroring.ts";
import { createPersistentVolumeBinder } from "./persistentvolume/binder.ts";
import {
  createPodGroupProtectionController,
  createPvcProtectionController,
  createPvProtectionController,
  createVacProtectionController,
} from "./protection/protection.ts";
import { createClusterRoleAggregationController } from "./rbacaggregation/rbacaggregation.ts";
import { createResourceQuotaController } from "./resourcequota/resourcequota.ts";
import { createLegacyTokenCleaner } from "./serviceaccounttoken/legacycleaner.ts";
import { createStorageVersionMigrator } from "./storagemigration/storagemigration.ts";
import { createServiceAccountTokenController } from "./serviceaccounttoken/serviceaccounttoken.ts";
import { createServiceCidrController } from "./servicecidr/servicecidr.ts";
import { createTtlController } from "./ttl/ttl.ts";
import { createTtlAfterFinishedController } from "./ttlafterfinished/ttlafterfinished.ts";
import { createVapStatusController } from "./vapstatus/vapstatus.ts";
import { createDaemonSetController } from "./daemonset/daemonset.ts";
import { createDeploymentController } from "./deployment/deployment.ts";
import { createEndpointsController } from "./endpoints/endpoints.ts";
import { createEndpointSliceController } from "./endpointslice/endpointslice.ts";
import { createExpander } from "./expander/expander.ts";
import { createGarbageCollector } from "./gc/gc.ts";
import { createHorizontalPodAutoscaler } from "./hpa/hpa.ts";
import { createJobController } from "./job/job.ts";
import { createNamespaceController } from "./namespace/namespace.ts";
import { createNodeIpamController } from "./nodeipam/nodeipam.ts";
import { createNodeLifecycleController } from "./nodelifecycle/nodelifecycle.ts";
import { createPodGcController } from "./podgc/podgc.ts";
import { createReplicaSetController, createReplicationControllerController } from "./replicaset/replicaset.ts";
import { createDeviceTaintEvictionController } from "./devicetaint/devicetaint.ts";
import { createResourceClaimController } from "./resourceclaim/resourceclaim.ts";
import { createRootCaPublisher } from "./rootca/rootca.ts";
import { createServiceAccountController } from "./serviceaccount/serviceaccount.ts";
import { createStatefulSetController } from "./statefulset/statefulset.ts";
import { createTaintEvictionController } from "./tainteviction/tainteviction.ts";

/** One controller as upstream's --controllers flag knows it. */
export interface ControllerDeclaration {
  readonly name: string;
  /** Former name, accepted too; "" when there is none. */
  readonly alias: string;
  /** Runs unless named with a dash. */
  readonly on: boolean;
  /** Account in kube-system whose role system:controller:<account> it acts under; "" is the manager's own identity. */
  readonly account: string;
  /** Returns undefined when the options leave it nothing to do. */
  readonly create: (env: ControllerEnv) => Controller | undefined;
}

type Create = ControllerDeclaration["create"];

function declare(name: string, alias: string, account: string, create: Create, on = true): ControllerDeclaration {
  return { name, alias, account, create, on };
}

/** Every controller there is, in order of start. */
export const CONTROLLERS: readonly ControllerDeclaration[] = [
  declare("serviceaccount-token-controller", "serviceaccount-token", "", createServiceAccountTokenController),
  declare("serviceaccount-controller", "serviceaccount", "service-account-controller", createServiceAccountController),
  declare(
    "root-ca-certificate-publisher-controller",
    "root-ca-cert-publisher",
    "root-ca-cert-publisher",
    createRootCaPublisher,
  ),
  declare("namespace-controller", "namespace", "namespace-controller", createNamespaceController),
  declare("node-ipam-controller", "nodeipam", "node-controller", createNodeIpamController),
  declare("node-lifecycle-controller", "nodelifecycle", "node-controller", createNodeLifecycleController),
  declare("taint-eviction-controller", "", "node-controller", createTaintEvictionController),
  declare("replicaset-controller", "replicaset", "replicaset-controller", createReplicaSetController),
  declare(
    "replicationcontroller-controller",
    "replicationcontroller",
    "replication-controller",
    createReplicationControllerController,
  ),
  declare("deployment-controller", "deployment", "deployment-controller", createDeploymentController),
  declare("statefulset-controller", "statefulset", "statefulset-controller", createStatefulSetController),
  declare("daemonset-controller", "daemonset", "daemon-set-controller", createDaemonSetController),
  declare("job-controller", "job", "job-controller", createJobController),
  declare("endpoints-controller", "endpoint", "endpoint-controller", createEndpointsController),
  declare("endpointslice-controller", "endpointslice", "endpointslice-controller", createEndpointSliceController),
  declare("garbage-collector-controller", "garbagecollector", "generic-garbage-collector", createGarbageCollector),
  declare("pod-garbage-collector-controller", "podgc", "pod-garbage-collector", createPodGcController),
  declare("cronjob-controller", "cronjob", "cronjob-controller", createCronJobController),
  declare(
    "ttl-after-finished-controller",
    "ttl-after-finished",
    "ttl-after-finished-controller",
    createTtlAfterFinishedController,
  ),
  declare("disruption-controller", "disruption", "disruption-controller", createDisruptionController),
  declare("resourcequota-controller", "resourcequota", "resourcequota-controller", createResourceQuotaController),
  declare(
    "endpointslice-mirroring-controller",
    "endpointslicemirroring",
    "endpointslicemirroring-controller",
    createEndpointSliceMirroringController,
  ),
  declare(
    "certificatesigningrequest-approving-controller",
    "csrapproving",
    "certificate-controller",
    createCsrApprovingController,
  ),
  declare(
    "certificatesigningrequest-signing-controller",
    "csrsigning",
    "certificate-controller",
    createCsrSigningController,
  ),
  declare("certificatesigningrequest-cleaner-controller", "csrcleaner", "certificate-controller", createCsrCleaner),
  declare(
    "clusterrole-aggregation-controller",
    "clusterrole-aggregation",
    "clusterrole-aggregation-controller",
    createClusterRoleAggregationController,
  ),
  declare("service-cidr-controller", "", "service-cidrs-controller", createServiceCidrController),
  declare("ttl-controller", "ttl", "ttl-controller", createTtlController),
  declare(
    "persistentvolume-binder-controller",
    "persistentvolume-binder",
    "persistent-volume-binder",
    createPersistentVolumeBinder,
  ),
  declare(
    "local-path-provisioner-controller",
    "local-path-provisioner",
    "persistent-volume-binder",
    createLocalPathProvisioner,
  ),
  declare(
    "persistentvolume-protection-controller",
    "pv-protection",
    "pv-protection-controller",
    createPvProtectionController,
  ),
  declare(
    "persistentvolumeclaim-protection-controller",
    "pvc-protection",
    "pvc-protection-controller",
    createPvcProtectionController,
  ),
  declare(
    "volumeattributesclass-protection-controller",
    "",
    "volumeattributesclass-protection-controller",
    createVacProtectionController,
  ),
  declare(
    "podgroup-protection-controller",
    "",
    "podgroup-protection-controller",
    createPodGroupProtectionController,
    false,
  ),
  declare(
    "ephemeral-volume-controller",
    "ephemeral-volume",
    "ephemeral-volume-controller",
    createEphemeralVolumeController,
  ),
  declare(
    "validatingadmissionpolicy-status-controller",
    "",
    "validatingadmissionpolicy-status-controller",
    createVapStatusController,
  ),
  declare(
    "horizontal-pod-autoscaler-controller",
    "horizontalpodautoscaling",
    "horizontal-pod-autoscaler",
    createHorizontalPodAutoscaler,
  ),
  declare(
    "legacy-serviceaccount-token-cleaner-controller",
    "legacy-service-account-token-cleaner",
    "legacy-service-account-token-cleaner",
    createLegacyTokenCleaner,
  ),
  declare("bootstrap-signer-controller", "bootstrapsigner", "bootstrap-signer", createBootstrapSigner, false),
  declare("token-cleaner-controller", "tokencleaner", "token-cleaner", createTokenCleaner, false),
  declare(
    "persistentvolume-attach-detach-controller",
    "attachdetach",
    "attachdetach-controller",
    createAttachDetachController,
  ),
  declare(
    "storage-version-migrator-controller",
    "svm",
    "storage-version-migrator-controller",
    createStorageVersionMigrator,
    false, // the feature gate StorageVersionMigrator is off by default
  ),
  declare("persistentvolume-expander-controller", "persistentvolume-expander", "expand-controller", createExpander),
  declare(
    "resourceclaim-controller",
    "resource-claim-controller",
    "resource-claim-controller",
    createResourceClaimController,
  ),
  declare(
    "device-taint-eviction-controller",
    "",
    "device-taint-eviction-controller",
    createDeviceTaintEvictionController,
  ),
];
