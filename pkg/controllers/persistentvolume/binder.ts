/** Brings claims and volumes together, and decides what becomes of volumes whose claim is gone. */
import { storageClassNameOf } from "#pkg/api/rules/index.ts";
import { deepEqual, keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type EventHandler,
  RateLimitingQueue,
  type ReconcileContext,
  type Result,
} from "#pkg/client/index.ts";
import { nodes, persistentVolumeClaims, persistentVolumes, storageClasses } from "#pkg/api/refs.ts";
import type { PersistentVolume, PersistentVolumeClaim, PersistentVolumeStatus } from "#pkg/api/types/core-v1.ts";
import type { StorageClass } from "#pkg/api/types/storage-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, type KeyQueue, watching, workThrough } from "../common/loop.ts";
import { LOCAL_PATH_PROVISIONER } from "../localpath/provisioner.ts";
import {
  BETA_STORAGE_PROVISIONER,
  BIND_COMPLETED,
  BOUND_BY_CONTROLLER,
  PROVISIONED_BY,
  SELECTED_NODE,
  STORAGE_PROVISIONER,
} from "./matching.ts";
import { type ClaimAction, planClaim, planVolume } from "./plan.ts";

const RETRY_PENDING_MS = 15_000;
/** Volumes by the claim that their claimRef names. */
const BY_CLAIM = "claim";

/** persistentvolume-binder-controller. */
export function createPersistentVolumeBinder(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const claims = createQueue(clock);
  const volumes = new RateLimitingQueue<string>({ clock });
  informers
    .of(persistentVolumes)
    .addIndex(BY_CLAIM, ({ spec }) =>
      spec?.claimRef?.name === undefined ? [] : [`${spec.claimRef.namespace}/${spec.claimRef.name}`],
    );
  const binder = new Binder(env, claims, volumes);
  return createLoop(env, {
    workers: 1, // two claims must not choose the same volume from one cache
    queue: claims,
    sources: [
      watching(informers.of(persistentVolumeClaims), claimHandler(claims, volumes)),
      watching(informers.of(persistentVolumes), volumeHandler(env, claims, volumes)),
      watching(informers.of(storageClasses), classHandler(env, claims)),
      watching(informers.of(nodes)),
    ],
    reconcile: (key, context) => binder.syncClaim(key, context),
    background: (signal) =>
      workThrough(
        env,
        {
          queue: volumes,
          queueName: "volumes",
          workers: 1,
          reconcile: (key, context) => binder.syncVolume(key, context),
        },
        signal,
      ),
  });
}

function claimHandler(claims: KeyQueue, volumes: KeyQueue): EventHandler<PersistentVolumeClaim> {
  const addVolume = ({ spec }: PersistentVolumeClaim) => {
    if (spec?.volumeName !== undefined && spec.volumeName !== "") volumes.add(spec.volumeName);
  };
  return {
    ...enqueueSelf<PersistentVolumeClaim>(claims),
    onUpdate(claim) {
      claims.add(keyString(keyOf(claim)));
      addVolume(claim);
    },
    onDelete(claim) {
      claims.add(keyString(keyOf(claim)));
      addVolume(claim);
    },
  };
}

function volumeHandler(
  { informers }: ControllerEnv,
  claims: KeyQueue,
  volumes: KeyQueue,
): EventHandler<PersistentVolume> {
  const add = (volume: PersistentVolume) => {
    volumes.add(volume.metadata.name);
    const { claimRef } = volume.spec ?? {};
    if (claimRef?.name !== undefined) claims.add(`${claimRef.namespace}/${claimRef.name}`);
    else
      for (const claim of informers.of(persistentVolumeClaims).lister.list())
        if ((claim.spec?.volumeName ?? "") === "" || claim.spec?.volumeName === volume.metadata.name)
          if (claim.metadata.annotations?.[BIND_COMPLETED] === undefined) claims.add(keyString(keyOf(claim)));
  };
  return {
    onAdd: add,
    onUpdate: add,
    onDelete(volume) {
      const { claimRef } = volume.spec ?? {};
      if (claimRef?.name !== undefined) claims.add(`${claimRef.namespace}/${claimRef.name}`);
    },
  };
}

function classHandler({ informers }: ControllerEnv, claims: KeyQueue): EventHandler<StorageClass> {
  return {
    onAdd(storageClass) {
      for (const claim of informers.of(persistentVolumeClaims).lister.list())
        if (claim.status?.phase !== "Bound" && storageClassNameOf(claim) === storageClass.metadata.name)
          claims.add(keyString(keyOf(claim)));
    },
  };
}

class Binder {
  readonly #env: ControllerEnv;
  readonly #claims: KeyQueue;
  readonly #volumeQueue: RateLimitingQueue<string>;
  /** Volumes that we bound and the cache does not show yet: they are not free. */
  readonly #taken = new Map<string, PersistentVolume>();

  constructor(env: ControllerEnv, claims: KeyQueue, volumes: RateLimitingQueue<string>) {
    this.#env = env;
    this.#claims = claims;
    this.#volumeQueue = volumes;
  }

  async syncClaim(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { informers } = this.#env;
    const claim = informers.of(persistentVolumeClaims).lister.get(key);
    if (claim === undefined) {
      // One that went between the two halves of a binding has a volume that it never named.
      for (const { metadata } of informers.of(persistentVolumes).lister.byIndex(BY_CLAIM, keyString(key)))
        this.#volumeQueue.add(metadata.name);
      return DONE;
    }
    const storageClass = informers.of(storageClasses).lister.get({ namespace: "", name: storageClassNameOf(claim) });
    const nodeName = claim.metadata.annotations?.[SELECTED_NODE];
    const node = nodeName === undefined ? undefined : informers.of(nodes).lister.get({ namespace: "", name: nodeName });
    const action = planClaim({
      claim,
      volumes: this.#volumes(),
      volumeNamed: (name) => this.#fresh(informers.of(persistentVolumes).lister.get({ namespace: "", name })),
      storageClass,
      node,
    });
    return this.#carryOut(claim, action, signal);
  }

  #volumes(): PersistentVolume[] {
    return this.#env.informers
      .of(persistentVolumes)
      .lister.list()
      .map((volume) => this.#fresh(volume)!);
  }
  /** What we have written, where the cache is behind. */
  #fresh(volume: PersistentVolume | undefined): PersistentVolume | undefined {
    if (volume === undefined) return undefined;
    const ours = this.#taken.get(volume.metadata.uid);
    if (ours === undefined) return volume;
    if (BigInt(volume.metadata.resourceVersion) < BigInt(ours.metadata.resourceVersion)) return ours;
    this.#taken.delete(volume.metadata.uid);
    return volume;
  }

  async #carryOut(claim: PersistentVolumeClaim, action: ClaimAction, signal: AbortSignal): Promise<Result> {
    const { recorder } = this.#env;
    switch (action.type) {
      case "none":
        return DONE;
      case "bind":
        await this.#bind(claim, action.volume, signal);
        return DONE;
      case "pending": {
        const { event } = action;
        await this.#setClaimStatus(claim, { phase: "Pending" }, signal);
        if (event === undefined) return DONE;
        recorder.event(claim, event.type, event.reason, event.message);
        return { requeueAfterMs: RETRY_PENDING_MS };
      }
      case "provision":
        await this.#askProvisioner(claim, action.storageClass, signal);
        return { requeueAfterMs: RETRY_PENDING_MS };
      case "lost":
        if (claim.status?.phase !== "Lost") recorder.event(claim, "Warning", action.reason, action.message);
        await this.#setClaimStatus(claim, { phase: "Lost" }, signal);
        return DONE;
    }
  }

  /** Volume first, then claim: a crash in between leaves a reservation that the next turn completes. */
  async #bind(claim: PersistentVolumeClaim, volume: PersistentVolume, signal: AbortSignal): Promise<void> {
    const { client } = this.#env;
    let bound = volume;
    const { name, namespace, uid, resourceVersion } = claim.metadata;
    if (volume.spec?.claimRef?.uid !== uid) {
      const reserved = volume.spec?.claimRef !== undefined;
      const claimRef = { kind: "PersistentVolumeClaim", apiVersion: "v1", namespace, name, uid, resourceVersion };
      const annotations: Record<string, string> = reserved ? {} : { [BOUND_BY_CONTROLLER]: "yes" };
      bound = await client.update(
        persistentVolumes,
        {
          ...volume,
          metadata: { ...volume.metadata, annotations: { ...volume.metadata.annotations, ...annotations } },
          spec: { ...volume.spec, claimRef },
        },
        { signal },
      );
      this.#taken.set(bound.metadata.uid, bound);
    }
    bound = await this.#setPhase(bound, "Bound", "", signal);
    let owner = claim;
    const present = claim.metadata.annotations ?? {};
    const chosen = claim.spec?.volumeName === undefined || claim.spec.volumeName === "";
    if (chosen || present[BIND_COMPLETED] === undefined) {
      const annotations = { ...present, [BIND_COMPLETED]: "yes", ...(chosen ? { [BOUND_BY_CONTROLLER]: "yes" } : {}) };
      owner = await client.update(
        persistentVolumeClaims,
        {
          ...claim,
          metadata: { ...claim.metadata, annotations },
          spec: { ...claim.spec, volumeName: volume.metadata.name },
        },
        { signal },
      );
    }
    const capacity = owner.status?.capacity ?? bound.spec?.capacity;
    const { volumeAttributesClassName } = bound.spec ?? {};
    await this.#setClaimStatus(
      owner,
      {
        phase: "Bound",
        accessModes: bound.spec?.accessModes,
        ...(capacity === undefined ? {} : { capacity }),
        ...(volumeAttributesClassName === undefined
          ? {}
          : { currentVolumeAttributesClassName: volumeAttributesClassName }),
      },
      signal,
    );
  }

  async #setClaimStatus(
    claim: PersistentVolumeClaim,
    change: NonNullable<PersistentVolumeClaim["status"]>,
    signal: AbortSignal,
  ): Promise<void> {
    // Without a volume there is nothing to say about one.
    const { accessModes: _, capacity: _2, currentVolumeAttributesClassName: _3, ...rest } = claim.status ?? {};
    const status = { ...(change.phase === "Bound" ? claim.status : rest), ...change };
    if (deepEqual(claim.status ?? {}, status)) return;
    await this.#env.client.updateStatus(persistentVolumeClaims, { ...claim, status }, { signal });
  }

  /** The class's provisioner is somebody else: it watches for this annotation. */
  async #askProvisioner(claim: PersistentVolumeClaim, storageClass: StorageClass, signal: AbortSignal): Promise<void> {
    const { client, recorder } = this.#env;
    const { provisioner } = storageClass;
    let asked = claim;
    if (claim.metadata.annotations?.[STORAGE_PROVISIONER] !== provisioner) {
      const annotations = {
        ...claim.metadata.annotations,
        [STORAGE_PROVISIONER]: provisioner,
        [BETA_STORAGE_PROVISIONER]: provisioner,
      };
      asked = await client.update(
        persistentVolumeClaims,
        { ...claim, metadata: { ...claim.metadata, annotations } },
        { signal },
      );
    }
    await this.#setClaimStatus(asked, { phase: "Pending" }, signal);
    if (provisioner === LOCAL_PATH_PROVISIONER) return;
    recorder.event(
      claim,
      "Normal",
      "ExternalProvisioning",
      `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`,
    );
  }

  async syncVolume(name: string, { signal }: ReconcileContext): Promise<Result> {
    const { client, informers, recorder } = this.#env;
    const volume = this.#fresh(informers.of(persistentVolumes).lister.get({ namespace: "", name }));
    if (volume === undefined) return DONE;
    const reference = volume.spec?.claimRef;
    const key = { namespace: reference?.namespace ?? "", name: reference?.name ?? "" };
    const claim = reference === undefined ? undefined : await this.#claimOf(key, reference.uid, signal);
    const action = planVolume(volume, claim);
    switch (action.type) {
      case "none":
        return DONE;
      case "ask-claim":
        this.#claims.add(keyString(key));
        return DONE;
      case "phase":
        await this.#setPhase(volume, action.phase, "", signal);
        return DONE;
      case "unbind": {
        const spec = { ...volume.spec };
        const annotations = { ...volume.metadata.annotations };
        delete spec.claimRef;
        delete annotations[BOUND_BY_CONTROLLER];
        const free = await client.update(
          persistentVolumes,
          { ...volume, metadata: { ...volume.metadata, annotations }, spec },
          { signal },
        );
        await this.#setPhase(free, "Available", "", signal);
        return DONE;
      }
      case "reclaim": {
        const released =
          volume.status?.phase === "Failed" ? volume : await this.#setPhase(volume, "Released", "", signal);
        const fault = released.status?.phase === "Failed" ? undefined : reclaimFault(released, action.policy);
        if (fault !== undefined) {
          recorder.event(released, "Warning", fault.reason, fault.message);
          await this.#setPhase(released, "Failed", fault.message, signal);
        }
        return DONE;
      }
    }
  }

  /** A claim that the cache does not show may only be late: ask before giving a volume up. */
  async #claimOf(
    key: ObjectKey,
    uid: string | undefined,
    signal: AbortSignal,
  ): Promise<PersistentVolumeClaim | undefined> {
    const { client, informers } = this.#env;
    const cached = informers.of(persistentVolumeClaims).lister.get(key);
    if (cached?.metadata.uid === uid) return cached;
    const { items } = await client.list(persistentVolumeClaims, {
      namespace: key.namespace,
      fieldSelector: `metadata.name=${key.name}`,
      signal,
    });
    return items[0];
  }

  async #setPhase(
    volume: PersistentVolume,
    phase: string,
    message: string,
    signal: AbortSignal,
  ): Promise<PersistentVolume> {
    const { client, clock } = this.#env;
    // Within a phase the message is whoever's set it last.
    if (volume.status?.phase === phase) return volume;
    const status: PersistentVolumeStatus = {
      ...volume.status,
      phase,
      message,
      lastPhaseTransitionTime: formatTime(clock.now()),
    };
    if (message === "") delete status.message;
    const written = await client.updateStatus(persistentVolumes, { ...volume, status }, { signal });
    this.#taken.set(written.metadata.uid, written);
    return written;
  }
}

/** Why a volume's policy cannot be carried out; undefined where that is somebody else's task, or nobody's. */
function reclaimFault(volume: PersistentVolume, policy: string): { reason: string; message: string } | undefined {
  if (policy === "Recycle")
    return { reason: "VolumeFailedRecycle", message: "No recycler plugin found for the volume!" };
  if (policy !== "Delete" || volume.metadata.annotations?.[PROVISIONED_BY] !== undefined) return undefined;
  // Nobody made it for a claim, so nobody knows how to unmake it.
  const message = `error getting deleter volume plugin for volume "${volume.metadata.name}": no volume plugin matched`;
  return { reason: "VolumeFailedDelete", message };
}
