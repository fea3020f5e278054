import type { ModelChange, ServicePort } from "./model/types.ts";

/** What one sync cost. */
export interface SyncStats {
  /** Bytes handed to the kernel's tools. */
  readonly bytes: number;
  /** Rules, or elements of maps, that now stand for services. */
  readonly rules: number;
}

/**
 * A way to bring the model into the kernel. `sync` converges on exactly the model's ports in one transaction; repeating
 * it is harmless. `change` is what differs from the last successful sync, or undefined when everything must be written
 * (start, after a failure, after somebody else touched the rules): only then is `all` asked.
 */
export interface Proxier {
  readonly mode: string;
  sync(
    all: () => ReadonlyMap<string, ServicePort>,
    change: ModelChange | undefined,
    signal: AbortSignal,
  ): Promise<SyncStats>;
  /** Have our tables been flushed? Cheap: called every few seconds where `verify` would cost too much. */
  intact(signal: AbortSignal): Promise<boolean>;
  /** Is every chain and rule of ours still there? Reads the whole ruleset, so its cost grows with the cluster. */
  verify(signal: AbortSignal): Promise<boolean>;
  /** Lets go of what this process itself holds (userspace mode's sockets); the kernel's rules stay. */
  close?(): Promise<void>;
  /** Removes everything this mode ever wrote. */
  cleanup(signal: AbortSignal): Promise<void>;
}
