import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { ResourceCache } from "#pkg/storage/cacher/index.ts";
import { KeyExistsError } from "#pkg/storage/cacher/index.ts";
import { type Clock, formatTime, type Random } from "#pkg/util/index.ts";

const NAME = "kubernetes";
const FINALIZER = "networking.k8s.io/service-cidr-finalizer";

/** The ServiceCIDR every cluster starts with: what --service-cluster-ip-range says. One that is there stays as it is. */
export async function ensureDefaultServiceCidr(
  serviceCidrs: ResourceCache,
  cidrs: readonly string[],
  clock: Clock,
  random: Random,
): Promise<void> {
  if ((await serviceCidrs.get("", NAME)) !== undefined) return;
  const now = formatTime(clock.now());
  const object: KubeObject = {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name: NAME, uid: random.uuid(), creationTimestamp: now, finalizers: [FINALIZER] },
    spec: { cidrs: [...cidrs] },
    status: {
      conditions: [
        {
          type: "Ready",
          status: "True",
          reason: "",
          message: "Kubernetes default Service CIDR is ready",
          lastTransitionTime: now,
        },
      ],
    },
  };
  try {
    await serviceCidrs.create(object);
  } catch (error) {
    // Another API server of this cluster starts at the same time.
    if (!(error instanceof KeyExistsError)) throw error;
  }
}
