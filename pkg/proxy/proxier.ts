import type { ModelChange, ServicePort } from "./model/types.ts";

/**
 * A way to bring the model into the kernel. `sync` converges on exactly these ports in one transaction; repeating it is
 * harmless. `change` is what differs from the last successful sync, or undefined when everything must be written (start,
 * after a failure, after somebody else flushed the tables).
 */
export interface Proxier {
  readonly mode: string;
  sync(ports: ReadonlyMap<string, ServicePort>, change: ModelChange | undefined, signal: AbortSignal): Promise<void>;
  /** Are our rules still there? Cheap: called every few seconds. */
  intact(signal: AbortSignal): Promise<boolean>;
  /** Removes everything this mode ever wrote. */
  cleanup(signal: AbortSignal): Promise<void>;
}
