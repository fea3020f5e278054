import type { Controller } from "#pkg/client/index.ts";
import type { ControllerEnv } from "./common/env.ts";
import { createDeploymentController } from "./deployment/deployment.ts";
import { createReplicaSetController, createReplicationControllerController } from "./replicaset/replicaset.ts";

/** One controller as upstream's --controllers flag knows it. */
export interface ControllerDeclaration {
  readonly name: string;
  /** Former name, accepted too. */
  readonly alias: string;
  /** Runs unless named with a dash. */
  readonly on: boolean;
  /** Account in kube-system whose role system:controller:<account> it acts under; "" is the manager's own identity. */
  readonly account: string;
  /** Undefined when the options leave it nothing to do. */
  readonly create: (env: ControllerEnv) => Controller | undefined;
}

export const CONTROLLERS: readonly ControllerDeclaration[] = [
  {
    name: "deployment-controller",
    alias: "deployment",
    on: true,
    account: "deployment-controller",
    create: createDeploymentController,
  },
  {
    name: "replicaset-controller",
    alias: "replicaset",
    on: true,
    account: "replicaset-controller",
    create: createReplicaSetController,
  },
  {
    name: "replicationcontroller-controller",
    alias: "replicationcontroller",
    on: true,
    account: "replication-controller",
    create: createReplicationControllerController,
  },
];
