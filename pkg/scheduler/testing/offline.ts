/** The deciding half of the scheduler without queue and API, for differential tests and benchmarks. */
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { createClient, createInformerFactory, directTransport } from "#pkg/client/index.ts";
import type { Draft } from "#pkg/client/index.ts";
import { silentLogger } from "#pkg/util/index.ts";
import type { Clock, Random } from "#pkg/util/index.ts";
import type { PodDisruptionBudget } from "#pkg/api/types/policy-v1.ts";
import { SchedulerCache } from "../cache/cache.ts";
import { NO_LABELS } from "../cache/selectors.ts";
import type { Labels } from "../cache/selectors.ts";
import { NO_EXTENDERS } from "../extenders.ts";
import { makeProfile } from "../framework/profile.ts";
import type { Profile } from "../framework/profile.ts";
import type { Plugin } from "../framework/types.ts";
import { SchedulerMetrics } from "../metrics.ts";
import { NodeSearch } from "../node-search.ts";
import { PermitWaits } from "../permit-waits.ts";
import { DEFAULT_PLUGINS } from "../plugins/registry.ts";
import type { PluginHandle } from "../plugins/registry.ts";
import { Nominator } from "../queue/nominator.ts";
import { volumeInformers } from "../volumes/listers.ts";

export interface Offline {
  readonly cache: SchedulerCache;
  readonly search: NodeSearch;
  readonly profile: Profile;
  readonly handle: PluginHandle;
  readonly nominator: Nominator;
}

export function offlineScheduler(options: {
  readonly clock: Clock;
  readonly random: Random;
  readonly namespaces?: Readonly<Record<string, Labels>>;
  readonly budgets?: readonly PodDisruptionBudget[];
  readonly percentageOfNodesToScore?: number;
  readonly handle?: Partial<PluginHandle>;
  /** Puts another plugin in the place of a default one. */
  replace?(plugin: Plugin): Plugin;
}): Offline {
  const { clock, random, namespaces = {}, replace = (plugin: Plugin) => plugin } = options;
  const cache = new SchedulerCache();
  const nominator = new Nominator();
  const client = createClient(
    directTransport({ handle: () => Promise.reject(new Error("there is no API server here")) }),
    { userAgent: "offline" },
  );
  const informers = createInformerFactory({ client, clock, log: silentLogger });
  const handle: PluginHandle = {
    volumes: volumeInformers(informers),
    cache,
    nominator,
    client,
    clock,
    random,
    log: silentLogger,
    recorder: { report: () => undefined },
    waits: new PermitWaits(clock),
    extenders: NO_EXTENDERS,
    metrics: new SchedulerMetrics(),
    budgets: () => options.budgets ?? [],
    defaultSelector: () => undefined,
    namespaces: {
      labelsOf: (namespace) => namespaces[namespace] ?? NO_LABELS,
      matching: (matcher) => Object.keys(namespaces).filter((name) => matcher.matches(namespaces[name]!)),
    },
    ...options.handle,
  };
  const enabled = DEFAULT_PLUGINS.map(({ weight, make }) => ({
    plugin: replace(make(handle, undefined)),
    weight,
  }));
  const profile = makeProfile("default-scheduler", enabled, options.percentageOfNodesToScore ?? 0);
  return {
    cache,
    nominator,
    profile,
    handle,
    search: new NodeSearch({ cache, nominator, random, extenders: NO_EXTENDERS }),
  };
}

/** A draft as the API server would have stored it. */
export function stored<T extends AnyObject>(draft: Draft<T>): T {
  const { namespace = "", name = "" } = draft.metadata;
  const uid = `uid-${namespace}-${name}`;
  const metadata = { uid, resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z", ...draft.metadata };
  return { ...draft, metadata } as unknown as T;
}
