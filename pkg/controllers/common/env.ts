import type { Client, EventRecorder, InformerFactory, QueueMetrics } from "#pkg/client/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { DiscoveryCache } from "./discovery.ts";
import type { ControllerOptions } from "./options.ts";
import type { SharedInformers } from "./shared-informers.ts";

/** What one controller is given: its own identity's client, and the reads that all controllers share. */
export interface ControllerEnv {
  readonly name: string;
  /** Authenticated as this controller's own service account. */
  readonly client: Client;
  readonly recorder: EventRecorder;
  readonly informers: SharedInformers;
  readonly factory: InformerFactory;
  readonly discovery: DiscoveryCache;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Told of the queues that are worked through. */
  readonly queues?: QueueMetrics | undefined;
  readonly options: ControllerOptions;
}
