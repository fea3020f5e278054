import { aPIServices } from "#pkg/api/refs.ts";
import type { APIService } from "#pkg/api/types/apiregistration-v1.ts";
import { ignoreAlreadyExists, isNotFound } from "#pkg/apimachinery/index.ts";
import type { Client, Draft } from "#pkg/client/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import { servedGroups } from "../discovery/documents.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";

const AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged";
const CORE_PRIORITY = 18_000;
const STEP = 100;
const CUSTOM_PRIORITY = { groupPriorityMinimum: 1000, versionPriority: 100 };
const SETTLE_MS = 200;
const RETRY_MS = 5000;

/** Keeps an APIService for every group version that this server serves itself, so that clients find all of them in one list. */
export class LocalApiServices {
  readonly #deps: { registry: ResourceRegistry; client: () => Client; clock: Clock; log: Logger };
  #pending = false;
  #cancel: (() => void) | undefined;

  constructor(deps: { registry: ResourceRegistry; client: () => Client; clock: Clock; log: Logger }) {
    this.#deps = deps;
  }
  /** Until the signal aborts. */
  start(signal: AbortSignal): void {
    const unfollow = this.#deps.registry.onChange(() => this.#soon(signal, SETTLE_MS));
    const stop = (): void => {
      unfollow();
      this.#cancel?.();
    };
    signal.addEventListener("abort", stop, { once: true });
    this.#soon(signal, 0);
  }

  #soon(signal: AbortSignal, delayMs: number): void {
    if (this.#pending || signal.aborted) return;
    this.#pending = true;
    this.#cancel = this.#deps.clock.schedule(delayMs, () => {
      this.#pending = false;
      if (signal.aborted) return;
      this.#sync().catch((err: unknown) => {
        if (signal.aborted) return;
        this.#deps.log.warn({ err }, "Could not register the local APIServices");
        this.#soon(signal, RETRY_MS);
      });
    });
  }
  async #sync(): Promise<void> {
    const { registry, client } = this.#deps;
    const api = client();
    const wanted = new Map<string, Draft<APIService>>();
    for (const [rank, { name: group, versions }] of servedGroups(registry).entries()) {
      for (const [index, { version, resources }] of versions.entries()) {
        const custom = resources.every((each) => each.custom);
        const own = { groupPriorityMinimum: CORE_PRIORITY - STEP * rank, versionPriority: Math.max(15 - index, 1) };
        const name = `${version}.${group}`;
        wanted.set(name, localService(name, group, version, custom, custom ? CUSTOM_PRIORITY : own));
      }
    }
    const { items } = await api.list(aPIServices);
    const present = new Set(items.map(({ metadata }) => metadata.name));
    for (const [name, service] of wanted) if (!present.has(name)) await this.#create(api, service);
    for (const { metadata } of items) {
      const managed = metadata.labels?.[AUTOMANAGED];
      if (managed !== "true" || wanted.has(metadata.name)) continue;
      await api.delete(aPIServices, { namespace: "", name: metadata.name }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }
  async #create(api: Client, service: Draft<APIService>): Promise<void> {
    // Another API server of the cluster registers the same.
    await ignoreAlreadyExists(api.create(aPIServices, service));
  }
}

function localService(
  name: string,
  group: string,
  version: string,
  custom: boolean,
  priority: { groupPriorityMinimum: number; versionPriority: number },
): Draft<APIService> {
  return {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name, labels: { [AUTOMANAGED]: custom ? "true" : "onstart" } },
    spec: { ...(group === "" ? {} : { group }), version, ...priority },
  };
}
