/**
 * A cluster in one process under one clock and one seed: the real API server (memory store, RBAC, admission), all
 * controllers, and hollow nodes. Time moves only in `advance`; equal seeds make equal histories.
 */
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import {
  type Client,
  type Controller,
  createClient,
  createSeriesRecorder,
  createInformerFactory,
  EventInterner,
  directTransport,
  type InformerFactory,
} from "#pkg/client/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { FakeClock, type Logger, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import { createControllers } from "../create.ts";
import type { ControllerOptions } from "../common/options.ts";
import { createScheduler } from "#pkg/scheduler/index.ts";
import { ADMIN, controllerUser, type Foundation, type SimulatedApi, startApi } from "./api.ts";
import { FaultyTransport, type Faults, type Incarnation, NO_FAULTS, type Wire } from "./faulty-transport.ts";
import { HollowNodes } from "./hollow-nodes.ts";
import { startHollowScheduler } from "./hollow-scheduler.ts";

export interface ClusterOptions {
  readonly seed: number;
  readonly nodes?: number;
  /** Upstream's --controllers. */
  readonly controllers?: readonly string[];
  readonly controllerOptions?: Partial<ControllerOptions>;
  /** "real" runs the scheduler itself, "hollow" a quick stand-in. Default: hollow. */
  readonly scheduler?: "real" | "hollow";
  readonly log?: Logger;
  /** Begins with this instead of booting. */
  readonly foundation?: Foundation | undefined;
}

/** Boots the foundation: never the seed of a history. */
const FOUNDATION_SEED = 0xffffffff;

/** Turns of the event loop without activity after which the cluster is taken to be at rest. */
const QUIET_TURNS = 6;

export class SimulatedCluster {
  readonly clock: FakeClock;
  readonly random: SeededRandom;
  readonly admin: Client;
  /** The test's own view, never disturbed by faults. */
  readonly informers: InformerFactory;
  readonly nodes: HollowNodes;
  readonly wire: Wire;
  readonly #options: ClusterOptions;
  readonly #clientFor: (account: string, incarnation: Incarnation) => Client;
  readonly #stop: AbortController;
  readonly #api: SimulatedApi;
  #controllers: { incarnation: Incarnation; stop: AbortController; done: Promise<unknown> }[] = [];

  private constructor(parts: {
    clock: FakeClock;
    random: SeededRandom;
    admin: Client;
    informers: InformerFactory;
    nodes: HollowNodes;
    wire: Wire;
    options: ClusterOptions;
    clientFor: (account: string, incarnation: Incarnation) => Client;
    stop: AbortController;
    api: SimulatedApi;
  }) {
    this.clock = parts.clock;
    this.random = parts.random;
    this.admin = parts.admin;
    this.informers = parts.informers;
    this.nodes = parts.nodes;
    this.wire = parts.wire;
    this.#options = parts.options;
    this.#clientFor = parts.clientFor;
    this.#stop = parts.stop;
    this.#api = parts.api;
  }

  /** Boots a cluster once, for many to begin where it has come to rest. */
  static async found(): Promise<Foundation> {
    const cluster = await SimulatedCluster.start({ seed: FOUNDATION_SEED, nodes: 0 });
    try {
      await cluster.advance(60_000);
      const { store, resources } = cluster.#api;
      const { kvs } = await store.range("/registry/");
      return {
        resources,
        contents: kvs.filter(({ key }) => !key.startsWith("/registry/events/")),
        now: cluster.clock.now(),
      };
    } finally {
      await cluster.close();
    }
  }

  static async start(options: ClusterOptions): Promise<SimulatedCluster> {
    const { foundation } = options;
    const clock = new FakeClock(foundation?.now);
    const random = new SeededRandom(options.seed);
    const stop = new AbortController();
    const log = options.log ?? silentLogger;
    const api = await startApi({ clock, random, log, signal: stop.signal, foundation });
    const { handler } = api;
    const delay = (ms: number) => new Promise<void>((resolve) => void clock.schedule(ms, resolve));
    const wire: Wire = { faults: NO_FAULTS, activity: 0, writes: 0, lost: 0, random, delay };
    const calm: Wire = { faults: NO_FAULTS, activity: 0, writes: 0, lost: 0, random, delay };
    // Everybody's activity counts towards rest, only the controllers' writes count as writes.
    Object.defineProperty(calm, "activity", {
      get: () => wire.activity,
      set: (value: number) => {
        wire.activity = value;
      },
    });
    const interner = new EventInterner();
    const client = (user: typeof ADMIN, over: Wire, incarnation?: Incarnation) =>
      createClient(new FaultyTransport(directTransport(handler, { user }), over, incarnation), {
        userAgent: "simulation",
        interner,
        // Only the controllers wait when the server says so: time stands still while the test asks for something.
        ...(incarnation === undefined ? {} : { clock }),
      });
    const admin = client(ADMIN, calm);
    const informers = createInformerFactory({ client: admin, clock, log });
    const nodes = new HollowNodes({ client: admin, informers, clock, random }, options.nodes ?? 3);
    const cluster = new SimulatedCluster({
      clock,
      random,
      admin,
      informers,
      nodes,
      wire,
      options,
      clientFor: (account, incarnation) => client(controllerUser(account), wire, incarnation),
      stop,
      api,
    });
    if (options.scheduler !== "real") startHollowScheduler({ client: admin, informers, clock, random }, stop.signal);
    await nodes.start(stop.signal);
    informers.start(stop.signal);
    await cluster.settle();
    cluster.startControllers();
    await cluster.settle();
    return cluster;
  }

  /** Starts one more set of controllers, as a second leader or after a crash. */
  startControllers(): void {
    const { clock, random } = this;
    const log = this.#options.log ?? silentLogger;
    const stop = new AbortController();
    const incarnation: Incarnation = { crashed: false };
    const signal = AbortSignal.any([stop.signal, this.#stop.signal]);
    const informers = createInformerFactory({ client: this.#clientFor("", incarnation), clock, random, log });
    const controllers = createControllers({
      clientFor: (account) => this.#clientFor(account, incarnation),
      informers,
      clock,
      random,
      log,
      controllers: this.#options.controllers ?? ["*"],
      options: { rootCa: "test root", ...this.#options.controllerOptions },
    });
    if (this.#options.scheduler === "real") controllers.push(this.#createScheduler(informers, incarnation, log));
    informers.start(signal);
    this.#controllers.push({
      incarnation,
      stop,
      done: Promise.all(controllers.map((controller) => controller.run(signal))),
    });
  }
  #createScheduler(informers: InformerFactory, incarnation: Incarnation, log: Logger): Controller {
    const { clock, random } = this;
    const client = this.#clientFor("system:kube-scheduler", incarnation);
    const recorder = createSeriesRecorder({ client, host: "master", clock, log });
    return createScheduler({ client, informers, clock, random, log, recorder });
  }
  /** All controllers vanish between two steps, without a goodbye. */
  async crashControllers(): Promise<void> {
    const running = this.#controllers.splice(0);
    for (const { incarnation, stop } of running) {
      incarnation.crashed = true;
      stop.abort(new Error("crashed"));
    }
    await Promise.all(running.map(({ done }) => done));
  }
  /**
   * Lets all controllers vanish at one of their awaits: when the count-down over sending requests and getting answers
   * ends. Returns a function that waits for their end, and brings it about if it has not come yet.
   */
  crashAtRequest(countDown: number): () => Promise<void> {
    let left = countDown;
    let crashing: Promise<void> | undefined;
    const { wire } = this;
    wire.onRequest = () => {
      if (--left > 0) return;
      delete wire.onRequest;
      crashing = this.crashControllers();
    };
    return () => {
      delete wire.onRequest;
      return crashing ?? this.crashControllers();
    };
  }
  set faults(faults: Faults) {
    this.wire.faults = faults;
  }

  /** Waits until nothing moves at this instant of simulated time. */
  async settle(): Promise<void> {
    let quiet = 0;
    let seen = this.wire.activity;
    while (quiet < QUIET_TURNS) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.wire.activity === seen) quiet++;
      else quiet = 0;
      seen = this.wire.activity;
    }
  }
  /** Lets simulated time pass, settling after each timer. */
  async advance(durationMs: number, afterStep?: () => void): Promise<void> {
    const end = this.clock.now() + durationMs;
    for (;;) {
      await this.settle();
      afterStep?.();
      const next = this.clock.nextTimer();
      if (next === undefined || next > end) break;
      await this.clock.advance(Math.max(0, next - this.clock.now()));
    }
    await this.clock.advance(Math.max(0, end - this.clock.now()));
    await this.settle();
  }
  /** Advances second by second until the condition holds; throws after `limitMs` of simulated time. */
  async until(what: string, condition: () => boolean, limitMs = 120_000): Promise<void> {
    const end = this.clock.now() + limitMs;
    while (!condition()) {
      if (this.clock.now() >= end) throw new Error(`not within ${limitMs} ms: ${what}`);
      await this.advance(500);
    }
  }
  list<T extends AnyObject>(resource: ResourceRef<T>, namespace?: string): T[] {
    return this.informers.informer(resource).lister.list(namespace);
  }
  /** Makes the test see a resource; call before `list` of it. */
  async observe(...resources: ResourceRef<AnyObject>[]): Promise<void> {
    for (const resource of resources) this.informers.informer(resource);
    this.informers.start(this.#stop.signal);
    await this.settle();
  }

  async close(): Promise<void> {
    await this.crashControllers();
    this.#stop.abort(new Error("the simulation is over"));
  }
}
