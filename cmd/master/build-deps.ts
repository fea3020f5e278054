import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { NonResourceHandler, ResourceRegistry } from "#pkg/apiserver/index.ts";
import { CacheSource } from "#pkg/apiserver/source/index.ts";
import type { FlagValues } from "#pkg/config/index.ts";
import type { ClusterPki } from "#pkg/pki/index.ts";
import type { Store } from "#pkg/storage/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { masterFlags } from "./flags.ts";

export interface BuildDeps {
  readonly flags: FlagValues<typeof masterFlags>;
  readonly store: Store;
  readonly pki: ClusterPki;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Advertised address of this server. */
  readonly address: string;
  /** Ends background work. */
  readonly signal: AbortSignal;
  /** What has to be closed when the server stops. */
  readonly cleanup: AsyncDisposableStack;
  /** Health of the scheduler and the controller manager, for componentstatuses. */
  readonly componentProbes: ReadonlyMap<string, () => string | undefined>;
  /** Paths of this program's own. */
  readonly ownPaths: readonly NonResourceHandler[];
  /** The part of /metrics that scheduler and controllers have. */
  readonly loopsMetrics: () => Promise<string>;
}

/** Views on what is stored, for those who decide about requests. */
export class Sources {
  readonly #registry: ResourceRegistry;
  readonly #deps: BuildDeps;
  readonly #made: CacheSource<AnyObject>[] = [];

  constructor(registry: ResourceRegistry, deps: BuildDeps) {
    this.#registry = registry;
    this.#deps = deps;
  }

  of<T extends AnyObject>(group: string, plural: string): CacheSource<T> {
    const { clock, signal } = this.#deps;
    const made = new CacheSource<T>(this.#registry.cache(group, plural), clock, signal);
    this.#made.push(made as unknown as CacheSource<AnyObject>);
    return made;
  }

  /** Resolves when all views made so far show what is stored. */
  async ready(): Promise<void> {
    await Promise.all(this.#made.map((source) => source.ready()));
  }
}
