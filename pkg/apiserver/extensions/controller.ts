import type { CustomResourceDefinition, CustomResourceDefinitionCondition } from "#pkg/api/types/apiextensions-v1.ts";
import { deepEqual, isNotFound, type KubeObject } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { type Clock, formatTime, type Logger, type Random } from "#pkg/util/index.ts";
import type { InstalledResource, ObjectConverter } from "../registry/installed.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";
import { updateStored } from "../registry/stored-update.ts";
import { type WebhookCaller, WebhookConverter } from "./conversion-webhook.ts";
import { RevisionConflictError } from "#pkg/storage/cacher/index.ts";
import { approvalCondition } from "./approval.ts";
import { CLEANUP_FINALIZER, withCondition } from "./crd-strategy.ts";
import { customResource } from "./definition.ts";
import { judgeNames } from "./names.ts";

export interface ExtensionsDeps {
  readonly registry: ResourceRegistry;
  /** Deletes what is left of a definition that goes. */
  readonly client: () => Client;
  /** Reaches conversion webhooks. */
  readonly webhooks: WebhookCaller;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const CRD_GROUP = "apiextensions.k8s.io";
const CRD_PLURAL = "customresourcedefinitions";
const RETRY_MS = 1000;
/** How often the leftovers of a definition that is being deleted are looked at. */
const CLEANUP_INTERVAL_MS = 500;
const RELEASE_ATTEMPTS = 20;

/**
 * Serves what CustomResourceDefinitions describe. Every API server follows the stored definitions and installs them into
 * its registry; accepting names, saying so in the status and cleaning up are idempotent, so several may do it.
 */
export class Extensions {
  readonly #deps: ExtensionsDeps;
  /** Definitions as last seen, by name. */
  readonly #known = new Map<string, CustomResourceDefinition>();
  /** What each definition has installed: its served versions and what they were made from. */
  readonly #installed = new Map<string, { readonly source: string; readonly versions: readonly string[] }>();
  /** Definitions that others' names keep from being served. */
  readonly #refused = new Set<string>();
  readonly #cleaning = new Set<string>();
  #signal: AbortSignal | undefined;

  constructor(deps: ExtensionsDeps) {
    this.#deps = deps;
  }
  /** Follows the definitions until the signal aborts. Resolves when those that are there now are being served. */
  start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    return new Promise((resolve) => this.#watch(signal, resolve));
  }

  #watch(signal: AbortSignal, started: () => void): void {
    const { registry, clock, log } = this.#deps;
    registry.cache(CRD_GROUP, CRD_PLURAL).watch({
      signal,
      onEvent: ({ type, entry }) => {
        const crd = entry.object as unknown as CustomResourceDefinition;
        if (type === "DELETED") this.#gone(entry.name);
        else {
          this.#known.set(entry.name, crd);
          this.#reconcile(entry.name);
        }
        return undefined;
      },
      onProgress: () => started(),
      onEnd: (reason) => {
        if (signal.aborted) return;
        log.warn({ reason }, "Watch of CustomResourceDefinitions ended, starting over");
        clock.schedule(RETRY_MS, () => {
          if (!signal.aborted) this.#watch(signal, started);
        });
      },
    });
  }
  #gone(name: string): void {
    this.#uninstall(name);
    this.#known.delete(name);
    this.#refused.delete(name);
    // Names it held may now be free for others.
    for (const other of this.#refused) this.#reconcile(other);
  }
  #reconcile(name: string): void {
    const crd = this.#known.get(name);
    if (crd === undefined) return;
    const others = [...this.#known.values()];
    const verdict = judgeNames(crd, others);
    if (verdict.conflict === undefined) this.#refused.delete(name);
    else this.#refused.add(name);
    // Others are judged before the status says so.
    this.#known.set(name, { ...crd, status: { ...crd.status, acceptedNames: verdict.accepted } });
    const serving = verdict.conflict === undefined || isTrue(crd, "Established");
    if (serving) this.#install(name, crd);
    this.#updateStatus(crd, verdict).catch((err: unknown) =>
      this.#retry(name, err, "Could not update a CustomResourceDefinition"),
    );
    if (crd.metadata.deletionTimestamp !== undefined && crd.metadata.finalizers?.includes(CLEANUP_FINALIZER) === true) {
      void this.#cleanUp(name, crd);
    }
  }
  #retry(name: string, err: unknown, message: string): void {
    if (this.#signal?.aborted !== false || isNotFound(err)) return;
    this.#deps.log.warn({ err, crd: name }, message);
    this.#deps.clock.schedule(RETRY_MS, () => {
      if (this.#signal?.aborted === false) this.#reconcile(name);
    });
  }

  /** Installs the served versions, unless they are what is installed already. */
  #install(name: string, crd: CustomResourceDefinition): void {
    const { uid, generation, deletionTimestamp } = crd.metadata;
    const source = `${uid}/${generation}/${deletionTimestamp ?? ""}`; // the generation counts changes of the spec
    const before = this.#installed.get(name);
    if (before?.source === source) return;
    const { registry, log } = this.#deps;
    const served = crd.spec.versions.filter((version) => version.served);
    try {
      const converter = this.#converterOf(crd);
      for (const version of served) registry.install(customResource(crd, version), converter);
    } catch (err) {
      // Validation lets no such schema in; one that another program stored must not stop the others.
      log.error({ err, crd: name }, "Could not serve a CustomResourceDefinition");
      return;
    }
    const versions = served.map((version) => version.name);
    this.#installed.set(name, { source, versions });
    for (const version of before?.versions ?? []) {
      if (!versions.includes(version)) registry.uninstall(crd.spec.group, version, crd.spec.names.plural);
    }
  }
  #converterOf(crd: CustomResourceDefinition): ObjectConverter | undefined {
    const { webhooks, random } = this.#deps;
    if (crd.spec.conversion?.strategy !== "Webhook") return undefined;
    return new WebhookConverter(crd, webhooks, random);
  }
  #uninstall(name: string): void {
    const crd = this.#known.get(name);
    const installed = this.#installed.get(name);
    if (crd === undefined || installed === undefined) return;
    const { group, names } = crd.spec;
    for (const version of installed.versions) this.#deps.registry.uninstall(group, version, names.plural);
    this.#installed.delete(name);
  }

  async #updateStatus(
    crd: CustomResourceDefinition,
    { accepted, conflict }: ReturnType<typeof judgeNames>,
  ): Promise<void> {
    const now = formatTime(this.#deps.clock.now());
    const wanted: CustomResourceDefinitionCondition[] = [
      conflict === undefined
        ? { type: "NamesAccepted", status: "True", reason: "NoConflicts", message: "no conflicts found" }
        : { type: "NamesAccepted", status: "False", ...conflict },
    ];
    if (conflict === undefined) {
      wanted.push({
        type: "Established",
        status: "True",
        reason: "InitialNamesAccepted",
        message: "the initial names have been accepted",
      });
    } else if (!isTrue(crd, "Established")) {
      wanted.push({
        type: "Established",
        status: "False",
        reason: "NotAccepted",
        message: "not all names are accepted",
      });
    }
    const approval = approvalCondition(crd);
    if (approval !== undefined) wanted.push(approval);
    if (crd.metadata.deletionTimestamp !== undefined) {
      const message = "CustomResource deletion is in progress";
      wanted.push({ type: "Terminating", status: "True", reason: "InstanceDeletionInProgress", message });
    }
    if (statusFits(crd, accepted, wanted)) return;
    await updateStored(this.#crds(), "", crd.metadata.name, (object) => {
      const present = object as unknown as CustomResourceDefinition;
      // A newer definition is judged by itself, when its own event arrives.
      if (!deepEqual(present.spec.names, crd.spec.names)) return { ...object };
      const conditions = mergeConditions(present.status?.conditions ?? [], wanted, now);
      return {
        ...object,
        status: { storedVersions: [], ...present.status, conditions, acceptedNames: accepted },
      } as KubeObject;
    });
  }
  #crds(): InstalledResource {
    return this.#deps.registry.lookup(CRD_GROUP, "v1", CRD_PLURAL)!;
  }

  /** Deletes all instances, waits until they are gone, and lets the definition go. */
  async #cleanUp(name: string, crd: CustomResourceDefinition): Promise<void> {
    if (this.#cleaning.has(name)) return;
    this.#cleaning.add(name);
    const { registry } = this.#deps;
    try {
      const { group, names, versions } = crd.spec;
      const version = versions.find((each) => each.served);
      const installed = version && registry.lookup(group, version.name, names.plural);
      if (installed?.cache !== undefined) {
        await installed.cache.ready();
        if (installed.cache.count() > 0) {
          await this.#deleteInstances(crd, installed);
          if (installed.cache.count() > 0) {
            this.#again(name);
            return;
          }
        }
      }
      await this.#release(name);
    } catch (err) {
      if (isNotFound(err) || this.#signal?.aborted === true) return;
      this.#deps.log.warn({ err, crd: name }, "Could not clean up behind a CustomResourceDefinition");
      this.#again(name);
    } finally {
      this.#cleaning.delete(name);
    }
  }
  #again(name: string): void {
    this.#deps.clock.schedule(CLEANUP_INTERVAL_MS, () => {
      const crd = this.#known.get(name);
      if (this.#signal?.aborted === false && crd !== undefined) void this.#cleanUp(name, crd);
    });
  }
  async #deleteInstances(crd: CustomResourceDefinition, installed: InstalledResource): Promise<void> {
    const { group, version, plural, kind, namespaced } = installed.definition;
    const ref = { group, version, plural, kind, namespaced };
    const { entries } = await installed.cache!.list({});
    const client = this.#deps.client();
    for (const namespace of new Set(entries.map((entry) => entry.namespace))) {
      await client.deleteCollection(ref, namespace);
    }
    this.#deps.log.debug({ crd: crd.metadata.name, count: entries.length }, "Deleted instances of a definition");
  }
  /** Lets the definition go, unless others hold it. */
  async #release(name: string): Promise<void> {
    const cache = this.#crds().cache!;
    for (let attempt = 0; attempt < RELEASE_ATTEMPTS; attempt++) {
      const entry = await cache.get("", name);
      if (entry === undefined || entry.object.metadata.deletionTimestamp === undefined) return;
      const { finalizers = [], ...metadata } = entry.object.metadata;
      const others = finalizers.filter((finalizer) => finalizer !== CLEANUP_FINALIZER);
      try {
        if (others.length === 0) await cache.delete(entry);
        else await cache.update(entry, { ...entry.object, metadata: { ...metadata, finalizers: others } });
        return;
      } catch (error) {
        // Somebody wrote in between, perhaps the status: look again.
        if (!(error instanceof RevisionConflictError)) throw error;
      }
    }
    this.#again(name);
  }
}

function isTrue(crd: CustomResourceDefinition, type: string): boolean {
  return crd.status?.conditions?.some((condition) => condition.type === type && condition.status === "True") === true;
}

function statusFits(
  crd: CustomResourceDefinition,
  accepted: object,
  wanted: readonly CustomResourceDefinitionCondition[],
): boolean {
  const present = crd.status?.conditions ?? [];
  const fits = wanted.every((condition) =>
    present.some(
      ({ type, status, reason, message }) =>
        type === condition.type &&
        status === condition.status &&
        reason === condition.reason &&
        message === condition.message,
    ),
  );
  return fits && deepEqual(crd.status?.acceptedNames, accepted);
}

function mergeConditions(
  present: readonly CustomResourceDefinitionCondition[],
  wanted: readonly CustomResourceDefinitionCondition[],
  now: string,
): readonly CustomResourceDefinitionCondition[] {
  return wanted.reduce((conditions, condition) => withCondition(conditions, condition, now), present);
}
