import type { FlowSchema, PriorityLevelConfiguration } from "#pkg/api/types/flowcontrol-v1.ts";
import { tooManyRequests, type UserInfo } from "#pkg/apimachinery/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { ObjectSource } from "../source/index.ts";
import { FlowClassifier, flowOf, type FlowRequest } from "./classify.ts";
import { type Level, Levels } from "./levels.ts";
import { estimateWork, type LoadOf, type Work } from "./work.ts";
import type { Waiter } from "./queue-set.ts";

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

const PASS = (): void => undefined;
const CATCH_ALL = "catch-all";
/** Requests that stay open are not counted: a seat would never come back. */
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

  /**
   * Takes seats, at once when they are free. What is returned gives them back (idempotent).
   * @throws StatusError 429 when the level is full and the request may not wait (any longer).
   */
  admit(user: UserInfo, request: FlowRequest, waiter: Waiter): (() => void) | Promise<() => void> {
    if (isLongRunning(request)) return PASS;
    this.#refresh();
    const schema = this.#classifier!.classify(user, request);
    const level =
      this.#levels.get(schema?.spec.priorityLevelConfiguration.name ?? CATCH_ALL) ?? this.#levels.get(CATCH_ALL);
    if (level === undefined || level.exempt) return PASS;
    const flow = schema === undefined ? CATCH_ALL : flowOf(schema, user, request);
    const work = estimateWork(request, level.nominal, this.#deps.loadOf);
    const acquired = this.#levels.acquire(level, flow, work.seats, this.#deps.queueTimeoutMs ?? 15_000, waiter);
    if (acquired instanceof Promise) return acquired.then((refusal) => this.#judged(level, work, refusal));
    return this.#judged(level, work, acquired);
  }

  #judged(level: Level, work: Work, refusal: string | undefined): () => void {
    if (refusal !== undefined) throw tooManyRequests("too many requests, please try again later.", 1);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#linger(level, work);
      this.#levels.release(level, work.seats);
    };
  }
  /** The answer is there, but watchers are still being told. */
  #linger(level: Level, { finalSeats, finalMs }: Work): void {
    if (finalSeats === 0) return;
    this.#levels.occupy(level, finalSeats);
    this.#deps.clock.schedule(finalMs, () => this.#levels.release(level, finalSeats));
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

  #refresh(): void {
    this.#classifier ??= new FlowClassifier(this.#deps.flowSchemas.list());
    if (!this.#levelsStale) return;
    this.#levelsStale = false;
    this.#levels.configure(this.#deps.priorityLevels.list());
  }
}

function isLongRunning({ verb, subresource, resourceRequest }: FlowRequest): boolean {
  return resourceRequest && (verb === "watch" || LONG_RUNNING_SUBRESOURCES.has(subresource));
}
