/** Stops all of a pod within its grace period, which a second, more urgent deletion may shorten. */
import { rpcText } from "../cri/runtime.ts";
import type { PodSubject } from "./subject.ts";

export class Stopping {
  readonly #subject: PodSubject;
  readonly #parent: AbortSignal;
  readonly #onStopped: () => void;
  #graceSeconds: number;
  #abort = new AbortController();
  #stopped = false;

  /** Begins at once; `onStopped` is called when nothing of the pod runs any more. */
  constructor(subject: PodSubject, graceSeconds: number, parent: AbortSignal, onStopped: () => void) {
    this.#subject = subject;
    this.#graceSeconds = graceSeconds;
    this.#parent = parent;
    this.#onStopped = onStopped;
    this.#start();
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Stops again with less patience; a longer period than the present one changes nothing. */
  shorten(graceSeconds: number): void {
    if (graceSeconds >= this.#graceSeconds || this.#stopped) return;
    this.#abort.abort(new Error("The grace period was shortened."));
    this.#graceSeconds = graceSeconds;
    this.#abort = new AbortController();
    this.#start();
  }

  #start(): void {
    const abort = this.#abort;
    const { event, log, deps } = this.#subject;
    this.#stop(AbortSignal.any([this.#parent, abort.signal])).then(
      () => {
        if (abort.signal.aborted) return;
        this.#stopped = true;
        this.#onStopped();
      },
      (err: unknown) => {
        if (abort.signal.aborted || this.#parent.aborted) return;
        log.warn({ err }, "Stopping the pod failed");
        event(undefined, "Warning", "FailedKillPod", `error killing pod: ${rpcText(err)}`);
        deps.clock.schedule(this.#subject.retryAt() - deps.clock.now(), () => {
          if (!this.#parent.aborted && this.#abort === abort) this.#start();
        });
      },
    );
  }

  async #stop(signal: AbortSignal): Promise<void> {
    const { uid, pod, deps, event } = this.#subject;
    const observed = await deps.pleg.refresh(uid, signal);
    await deps.lifecycle.stopPod(pod, observed, this.#graceSeconds, this.#subject.podIP(observed), event, signal);
  }
}
