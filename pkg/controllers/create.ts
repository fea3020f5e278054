import {
  type Client,
  type Controller,
  createEventRecorder,
  type InformerFactory,
  type QueueMetrics,
} from "#pkg/client/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import { DiscoveryCache } from "./common/discovery.ts";
import { type ControllerOptions, DEFAULT_OPTIONS } from "./common/options.ts";
import { SharedInformers } from "./common/shared-informers.ts";
import { eventSourceOf } from "./event-sources.ts";
import { type ControllerDeclaration, CONTROLLERS } from "./list.ts";
import { NOT_RUN } from "./not-run.ts";

/** What the controllers are made of. */
export interface ControllersDeps {
  /** A client for kube-system's service account of that name; "" asks for the controller manager's own identity. */
  clientFor(serviceAccountName: string): Client;
  /** Reads under the controller manager's identity, shared by all; started by the caller after this returns. */
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly queues?: QueueMetrics;
  /** Upstream's --controllers: "*" is all that are on by default, "name" adds, "-name" takes away. Default ["*"]. */
  readonly controllers?: readonly string[];
  readonly options?: Partial<ControllerOptions>;
}

/** A name in --controllers that no controller has. */
export class UnknownControllerError extends Error {
  constructor(name: string) {
    super(`"${name}" is not in the list of known controllers`);
    this.name = "UnknownControllerError";
  }
}

/** @throws UnknownControllerError for a name that is neither a controller's name nor an alias. */
export function selectControllers(selection: readonly string[]): ControllerDeclaration[] {
  const wanted = new Map<string, boolean>();
  let all = false;
  for (const entry of selection) {
    if (entry === "*") {
      all = true;
      continue;
    }
    const off = entry.startsWith("-");
    const text = off ? entry.slice(1) : entry;
    const declaration = [...CONTROLLERS, ...NOT_RUN].find(
      ({ name, alias }) => name === text || (alias !== "" && alias === text),
    );
    if (declaration === undefined) throw new UnknownControllerError(text);
    wanted.set(declaration.name, wanted.get(declaration.name) ?? !off);
  }
  return CONTROLLERS.filter(({ name, on }) => wanted.get(name) ?? (all && on));
}

/** Reasons of events that tell of each pod or job that an owner has. */
const ROUTINE: ReadonlySet<string> = new Set(["SuccessfulCreate", "SuccessfulDelete"]);

/** Makes the selected controllers; their informers are registered with the factory, none is started. */
export function createControllers(deps: ControllersDeps): Controller[] {
  const { informers: factory, clock, random, log, queues } = deps;
  const options = { ...DEFAULT_OPTIONS, ...deps.options };
  const informers = new SharedInformers(factory);
  const discovery = new DiscoveryCache(deps.clientFor(""), () => clock.monotonic());
  return selectControllers(deps.controllers ?? ["*"]).flatMap(({ name, account, create }) => {
    const client = deps.clientFor(account);
    const childLog = log.child({ controller: name });
    const component = eventSourceOf(name);
    const recorder = createEventRecorder({ client, component, clock, log: childLog, routine: ROUTINE });
    const reads = { informers, factory, discovery };
    const controller = create({ name, client, recorder, ...reads, clock, random, log: childLog, queues, options });
    return controller === undefined ? [] : [controller];
  });
}
