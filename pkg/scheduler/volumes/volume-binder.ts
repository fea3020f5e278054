import { storageClassNameOf } from "#pkg/api/rules/index.ts";
import { keyOf, keyString } from "#pkg/apimachinery/index.ts";
import { persistentVolumeClaims, persistentVolumes } from "#pkg/api/refs.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { waitFor, WaitTimeoutError } from "#pkg/client/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import { BY_CLASS, claimsOf, findClaim, isBound, waitsForConsumer } from "./listers.ts";
import type { VolumeInformers } from "./listers.ts";
import { classAllows, findVolume, hasCapacity, requestedBytes, volumeReaches } from "./matching.ts";

const SELECTED_NODE = "volume.kubernetes.io/selected-node";
const BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller";
const NO_PROVISIONER = "kubernetes.io/no-provisioner";
const POLL_MS = 100;

const REASONS = {
  bindConflict: "node(s) didn't find available persistent volumes to bind",
  nodeConflict: "node(s) didn't match PersistentVolume's node affinity",
  missingVolume: "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
  noCapacity: "node(s) did not have enough free storage",
  unboundImmediate: "pod has unbound immediate PersistentVolumeClaims",
} as const;

/** A pod's claims by what has to be done for them. */
export interface PodClaims {
  readonly bound: readonly PersistentVolumeClaim[];
  /** To be bound once the pod has a node. */
  readonly delayed: readonly PersistentVolumeClaim[];
}
/** What binding the pod's claims on one node would mean. */
export interface VolumeDecision {
  readonly bindings: readonly { readonly volume: PersistentVolume; readonly claim: PersistentVolumeClaim }[];
  readonly provisions: readonly PersistentVolumeClaim[];
}

/** What binding volumes needs; the time is how long provisioners get. */
export interface VolumeBinderDeps {
  readonly informers: VolumeInformers;
  readonly client: Client;
  readonly clock: Clock;
  readonly bindTimeoutMs: number;
}

/** Chooses volumes for pods, remembers choices that the API does not know yet, and has them bound. */
export class VolumeBinder {
  readonly #deps: VolumeBinderDeps;
  /** Volumes chosen for a claim ("namespace/name") by a pod that is about to be bound. */
  readonly #chosen = new Map<string, string>();

  constructor(deps: VolumeBinderDeps) {
    this.#deps = deps;
  }

  /** The pod's claims, or why it cannot be scheduled with them. */
  classify(pod: Pod): PodClaims | string {
    const bound: PersistentVolumeClaim[] = [];
    const delayed: PersistentVolumeClaim[] = [];
    let immediate = false;
    for (const use of claimsOf(pod)) {
      const claim = findClaim(this.#deps.informers, pod, use);
      if (typeof claim === "string") return claim;
      if (isBound(claim)) bound.push(claim);
      else if ((claim.spec?.volumeName ?? "") === "" && waitsForConsumer(this.#deps.informers, claim))
        delayed.push(claim);
      else immediate = true;
    }
    return immediate ? REASONS.unboundImmediate : { bound, delayed };
  }

  /** What it takes to have the pod's volumes on the node, or the reasons why they cannot be there. */
  decide({ bound, delayed }: PodClaims, node: NodeInfo): VolumeDecision | readonly string[] {
    const { volumes } = this.#deps.informers;
    for (const claim of bound) {
      const volume = volumes.lister.get({ namespace: "", name: claim.spec?.volumeName ?? "" });
      if (volume === undefined) return [REASONS.missingVolume];
      if (!volumeReaches(volume, node)) return [REASONS.nodeConflict];
    }
    const bindings: { volume: PersistentVolume; claim: PersistentVolumeClaim }[] = [];
    const provisions: PersistentVolumeClaim[] = [];
    const taken = new Set<string>();
    // The smallest first, so that large volumes are left for large claims.
    for (const claim of delayed.toSorted((a, b) => requestedBytes(a) - requestedBytes(b))) {
      const selected = claim.metadata.annotations?.[SELECTED_NODE];
      if (selected !== undefined && selected !== "") {
        if (selected !== node.name) return [REASONS.bindConflict];
        provisions.push(claim);
        continue;
      }
      const id = keyString(keyOf(claim));
      const isTaken = ({ metadata: { name } }: PersistentVolume) =>
        taken.has(name) || (this.#chosen.get(name) ?? id) !== id;
      const volume = findVolume(claim, volumes.lister.byIndex(BY_CLASS, storageClassNameOf(claim)), node, isTaken);
      if (volume !== undefined) {
        taken.add(volume.metadata.name);
        bindings.push({ volume, claim });
        continue;
      }
      const refusal = this.#whyNotProvisioned(claim, node);
      if (refusal !== undefined) return [refusal];
      provisions.push(claim);
    }
    return { bindings, provisions };
  }

  /** Sets the chosen volumes aside until `release`, or until the API says so itself. */
  assume({ bindings }: VolumeDecision): void {
    for (const { volume, claim } of bindings) this.#chosen.set(volume.metadata.name, keyString(keyOf(claim)));
  }
  release({ bindings }: VolumeDecision): void {
    for (const { volume } of bindings) this.#chosen.delete(volume.metadata.name);
  }

  /** Writes the decision and waits until all claims are bound. Rejects when that fails or takes too long. */
  async bind(decision: VolumeDecision, nodeName: string, signal: AbortSignal): Promise<void> {
    const { client, clock, informers, bindTimeoutMs } = this.#deps;
    for (const { volume, claim } of decision.bindings) await this.#claimVolume(volume, claim, signal);
    for (const claim of decision.provisions) {
      if (claim.metadata.annotations?.[SELECTED_NODE] === nodeName) continue;
      const { resourceVersion } = claim.metadata;
      const metadata = { resourceVersion, annotations: { [SELECTED_NODE]: nodeName } };
      await client.patch(persistentVolumeClaims, keyOf(claim), "merge", { metadata }, { signal });
    }
    const awaited = [...decision.bindings.map(({ claim }) => claim), ...decision.provisions];
    const isDone = (): boolean =>
      awaited.every((claim) => {
        const current = informers.claims.lister.get(keyOf(claim));
        if (current === undefined)
          throw new Error(`claim ${keyString(keyOf(claim))} was deleted while its volume was being bound`);
        return isBound(current);
      });
    try {
      await waitFor(isDone, { clock, intervalMs: POLL_MS, timeoutMs: bindTimeoutMs, signal });
    } catch (error) {
      if (error instanceof WaitTimeoutError)
        throw new Error("binding volumes: context deadline exceeded", { cause: error });
      throw error;
    }
    this.release(decision);
  }

  #whyNotProvisioned(claim: PersistentVolumeClaim, node: NodeInfo): string | undefined {
    const { classes, csiDrivers, capacities } = this.#deps.informers;
    const className = storageClassNameOf(claim);
    const storageClass = classes.lister.get({ namespace: "", name: className });
    if (storageClass === undefined || storageClass.provisioner === "" || storageClass.provisioner === NO_PROVISIONER)
      return REASONS.bindConflict;
    if (!classAllows(storageClass, node)) return REASONS.bindConflict;
    const driver = csiDrivers.lister.get({ namespace: "", name: storageClass.provisioner });
    if (driver?.spec.storageCapacity !== true) return undefined;
    const known = capacities.lister.byIndex(BY_CLASS, className);
    return hasCapacity(known, node, requestedBytes(claim)) ? undefined : REASONS.noCapacity;
  }

  async #claimVolume(volume: PersistentVolume, claim: PersistentVolumeClaim, signal: AbortSignal): Promise<void> {
    const { namespace, name, uid, resourceVersion } = claim.metadata;
    const claimRef = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid, resourceVersion };
    const patch = {
      metadata: { resourceVersion: volume.metadata.resourceVersion, annotations: { [BOUND_BY_CONTROLLER]: "yes" } },
      spec: { claimRef },
    };
    await this.#deps.client.patch(persistentVolumes, keyOf(volume), "merge", patch, { signal });
  }
}
