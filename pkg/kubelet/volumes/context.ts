/** What volumes of one pod may ask of the cluster and of the node. */
import { ignoreNotFound } from "#pkg/apimachinery/index.ts";
import type { Pod, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import { persistentVolumeClaims, persistentVolumes, serviceAccounts } from "#pkg/api/refs.ts";
import type { Client } from "#pkg/client/index.ts";
import { type Clock, type CommandRunner, type Random, errorMessage } from "#pkg/util/index.ts";
import type { Mounts } from "../mounts.ts";
import type { ReferencedObjects } from "../objects.ts";
import type { Starter } from "../pod/starter.ts";
import type { ResourceKeeper } from "../pod/worker-deps.ts";
import type { TokenCache } from "../tokens.ts";
import type { VolumeContext } from "./volume.ts";

/** What volumes of all sorts need of the node. */
export interface VolumeContextDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly mounts: Mounts;
  readonly commands: CommandRunner;
  readonly objects: ReferencedObjects;
  readonly starter: Starter;
  readonly resources: Pick<ResourceKeeper, "allocated">;
  readonly tokens: TokenCache;
}
type ContextFor = (pod: Pod, podIPs: readonly string[], inner: AbortSignal) => VolumeContext;

interface TokenAnswer {
  readonly spec: { readonly expirationSeconds: number };
  readonly status: { readonly token: string };
}

async function requestToken(
  client: Client,
  pod: Pod,
  audience: string | undefined,
  expirationSeconds: number,
  signal: AbortSignal,
) {
  const body = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    metadata: {},
    spec: {
      audiences: audience === undefined || audience === "" ? [] : [audience],
      expirationSeconds,
      boundObjectRef: { apiVersion: "v1", kind: "Pod", name: pod.metadata.name, uid: pod.metadata.uid },
    },
  };
  const key = { namespace: pod.metadata.namespace ?? "", name: pod.spec.serviceAccountName ?? "default" };
  const { spec, status } = await client.createSubresource<ServiceAccount, typeof body, TokenAnswer>(
    serviceAccounts,
    key,
    "token",
    body,
    { signal },
  );
  return { token: status.token, lifetimeMs: spec.expirationSeconds * 1000 };
}

/** Answers what makes the context for the volumes of one pod. */
export function volumeContextFactory(deps: VolumeContextDeps): ContextFor {
  const { client, clock, random, mounts, commands, objects, starter, resources, tokens } = deps;
  return (pod, podIPs, inner) => ({
    pod,
    clock,
    random,
    mounts,
    commands,
    objects,
    downward: starter.downward(resources.allocated(pod), podIPs),
    requestToken: (audience, expirationSeconds) =>
      tokens.get(pod.metadata.uid, audience, expirationSeconds, () =>
        requestToken(client, pod, audience, expirationSeconds, inner),
      ),
    trustBundle: async (name) => {
      const path = `/apis/certificates.k8s.io/v1beta1/clustertrustbundles/${encodeURIComponent(name)}`;
      const answer = await ignoreNotFound(
        client.raw<{ spec?: { trustBundle?: string } }>("GET", path, undefined, { signal: inner }),
      );
      return answer?.spec?.trustBundle;
    },
    claim: async (name) => {
      const fetched = <T>(what: string, answer: Promise<T>) =>
        answer.catch((cause: unknown) => {
          const why = errorMessage(cause);
          throw new Error(`failed to fetch ${what} from API server: ${why}`, { cause });
        });
      const key = { namespace: pod.metadata.namespace ?? "", name };
      const claim = await fetched("PVC", client.get(persistentVolumeClaims, key, { signal: inner }));
      if (claim.status?.phase !== "Bound") throw new Error("PVC is not bound");
      const volumeName = claim.spec?.volumeName ?? "";
      if (volumeName === "") throw new Error("PVC has empty pvc.Spec.VolumeName");
      const volumeKey = { namespace: "", name: volumeName };
      const volume = await fetched(`PV ${volumeName}`, client.get(persistentVolumes, volumeKey, { signal: inner }));
      return { claim, volume };
    },
    signal: inner,
  });
}
