import type { Controller } from "#pkg/client/index.ts";
import type { ControllerEnv } from "./common/env.ts";
import { createDaemonSetController } from "./daemonset/daemonset.ts";
import { createDeploymentController } from "./deployment/deployment.ts";
import { createEndpointsController } from "./endpoints/endpoints.ts";
import { createEndpointSliceController } from "./endpointslice/endpointslice.ts";
import { createGarbageCollector } from "./gc/gc.ts";
import { createJobController } from "./job/job.ts";
import { createNamespaceController } from "./namespace/namespace.ts";
import { createNodeIpamController } from "./nodeipam/nodeipam.ts";
import { createNodeLifecycleController } from "./nodelifecycle/nodelifecycle.ts";
import { createPodGcController } from "./podgc/podgc.ts";
import { createReplicaSetController, createReplicationControllerController } from "./replicaset/replicaset.ts";
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
];
