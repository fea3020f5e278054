import type { FlowSchema, PriorityLevelConfiguration } from "#pkg/api/types/flowcontrol-v1.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { ObjectSource } from "../source/index.ts";
import { FlowClassifier, flowOf, type FlowRequest } from "./classify.ts";
import { type Level, Levels } from "./levels.ts";
import { renderFlowMetrics } from "./metrics.ts";
import type { Waiter } from "./queue-set.ts";
import { RetryAfter } from "./retry-after.ts";
import { Traffic } from "./traffic.ts";
import { SeatedTurn, type Turn, UNLIMITED } from "./turn.ts";
import { estimateWork, type LoadOf, ONE_SEAT } from "./work.ts";

export interface FlowControlDeps {
  readonly flowSchemas: ObjectSource<FlowSchema>;
  readonly priorityLevels: ObjectSource<PriorityLevelConfiguration>;
  readonly clock: Clock;
  /** `--max-requests-inflight` + `--max-mutating-requests-inflight`; default 400 + 200. */
  readonly totalSeats?: number;
  /** How long a request may wait; default 15 s, a quarter of the request timeout. */
  readonly queueTimeoutMs?: number;
  /** How big resources are; without it every request takes one seat. */
  readonly loadOf?: LoadOf;
}

/** Where requests of one schema go. */
interface Route {
  readonly level: Level;
  readonly traffic: Traffic;
  readonly retryAfter: RetryAfter;
  /** Tell clients, in terms only administrators can resolve, how they were classified. */
  readonly headers: Readonly<Record<string, string>>;
}

const CATCH_ALL = "catch-all";
/** Requests that stay open are not counted: a seat would never come back. A watch gives it back once it has begun. */
const LONG_RUNNING_SUBRESOURCES = new Set(["attach", "exec", "log", "portforward", "proxy"]);

/**
 * API priority and fairness (KEP-1040): every request gets a seat of its priority level, waits fairly for one, or is
 * told to come back (429).
 */
export class FlowController {
  readonly #levels: Levels;
  readonly #deps: FlowControlDeps;
  #classifier: FlowClassifier | undefined;
  #levelsStale = true;
  /** By schema; forgotten when schemas or levels change. */
  readonly #routes = new Map<FlowSchema | undefined, Route | undefined>();
  readonly #uids = new Map<string, string>();
  readonly #traffic = new Map<string, Traffic>();
  readonly #retryAfter = new Map<string, RetryAfter>();

  constructor(deps: FlowControlDeps) {
    this.#deps = deps;
    this.#levels = new Levels(deps.totalSeats ?? 600, deps.clock);
    deps.flowSchemas.onChange(() => {
      this.#classifier = undefined;
    });
    deps.priorityLevels.onChange(() => {
      this.#levelsStale = true;
    });
  }

  /** Takes seats at once where they are free; otherwise what is returned says when the request may go on. */
  admit(user: UserInfo, request: FlowRequest, waiter: Waiter): Turn {
    if (isLongRunning(request)) return UNLIMITED;
    this.#refresh();
    const schema = this.#classifier!.classify(user, request);
    const route = this.#routeOf(schema);
    if (route === undefined) return UNLIMITED;
    const { level, traffic, headers, retryAfter } = route;
    const { clock, loadOf, queueTimeoutMs = 15_000 } = this.#deps;
    const work = level.exempt ? ONE_SEAT : estimateWork(request, level.nominal, loadOf);
    const turn = new SeatedTurn({ levels: this.#levels, clock, level, traffic, retryAfter, headers, work });
    turn.take(schema === undefined ? CATCH_ALL : flowOf(schema, user, request), queueTimeoutMs, waiter);
    return turn;
  }

  /** Seats in use and requests waiting, by priority level. */
  state(): { readonly level: string; readonly nominal: number; readonly inUse: number; readonly waiting: number }[] {
    this.#refresh();
    return Array.from(this.#levels.all(), ({ name, nominal, inUse, queues }) => ({
      level: name,
      nominal,
      inUse,
      waiting: queues?.waiting ?? 0,
    }));
  }
  /** Prometheus text. */
  metrics(): string {
    this.#refresh();
    return renderFlowMetrics([...this.#levels.all()], [...this.#traffic.values()]);
  }

  #refresh(): void {
    if (this.#classifier === undefined) {
      this.#classifier = new FlowClassifier(this.#deps.flowSchemas.list());
      this.#routes.clear();
    }
    if (!this.#levelsStale) return;
    this.#levelsStale = false;
    const configurations = this.#deps.priorityLevels.list();
    this.#levels.configure(configurations);
    this.#routes.clear();
    this.#uids.clear();
    for (const { metadata } of configurations) this.#uids.set(metadata.name, metadata.uid ?? "");
  }
  #routeOf(schema: FlowSchema | undefined): Route | undefined {
    let route = this.#routes.get(schema);
    if (route === undefined) this.#routes.set(schema, (route = this.#makeRoute(schema)));
    return route;
  }
  #makeRoute(schema: FlowSchema | undefined): Route | undefined {
    const level =
      this.#levels.get(schema?.spec.priorityLevelConfiguration.name ?? CATCH_ALL) ?? this.#levels.get(CATCH_ALL);
    if (level === undefined) return undefined;
    const schemaName = schema?.metadata.name ?? CATCH_ALL;
    return {
      level,
      traffic: kept(this.#traffic, `${schemaName}\0${level.name}`, () => new Traffic(schemaName, level.name)),
      retryAfter: kept(this.#retryAfter, level.name, () => new RetryAfter()),
      headers: Object.freeze({
        "x-kubernetes-pf-flowschema-uid": schema?.metadata.uid ?? "",
        "x-kubernetes-pf-prioritylevel-uid": this.#uids.get(level.name) ?? "",
      }),
    };
  }
}

/** What the map has under the key, made when it has nothing. */
function kept<T>(map: Map<string, T>, key: string, make: () => T): T {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

function isLongRunning({ verb, subresource, resourceRequest }: FlowRequest): boolean {
  return resourceRequest && verb !== "watch" && LONG_RUNNING_SUBRESOURCES.has(subresource);
}
