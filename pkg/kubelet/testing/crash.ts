/** Ends a kubelet as kill -9 would, or its runtime, at a chosen call. A dead kubelet reaches neither runtime nor API. */
import type { Client } from "#pkg/client/index.ts";
import { RuntimeError } from "../cri/runtime.ts";
import type { Runtime } from "../cri/runtime.ts";
import { wrapped } from "../cri/wrapped.ts";

/** Calls that change what the runtime holds, which are the steps of a pod's life. */
const STEPS = [
  "runSandbox",
  "createContainer",
  "startContainer",
  "stopContainer",
  "stopSandbox",
  "removeContainer",
  "removeSandbox",
] as const;
type Step = (typeof STEPS)[number];
const isStep = (name: PropertyKey): name is Step => (STEPS as readonly PropertyKey[]).includes(name);

export interface CrashPoint {
  /** Which of the steps, counted from 1. */
  readonly step: number;
  /** Whether the runtime still carries the step out. */
  readonly when: "before" | "after";
}

/** A runtime and a client for one kubelet that dies at the given point. */
export class Crash {
  readonly runtime: Runtime;
  readonly client: Client;
  /** Resolves to the step's name when the kubelet has died. */
  readonly happened: Promise<Step>;
  #steps = 0;
  #died: Step | undefined;
  #announce: (step: Step) => void = () => undefined;

  constructor(runtime: Runtime, client: Client, point: CrashPoint) {
    this.happened = new Promise((resolve) => (this.#announce = resolve));
    this.runtime = wrapped(runtime, (name, call) => {
      if (this.#died !== undefined && name !== "close") return this.#refuse();
      if (!isStep(name) || ++this.#steps !== point.step) return call();
      return this.#die(name, point.when, call);
    });
    this.client = wrapped(client, (_name, call) => (this.#died === undefined ? call() : this.#refuse()));
  }

  async #die(step: Step, when: CrashPoint["when"], call: () => unknown): Promise<never> {
    this.#died = step;
    if (when === "after") await call();
    this.#announce(step);
    return this.#refuse();
  }

  #refuse(): Promise<never> {
    return Promise.reject(new RuntimeError("Unavailable", "the kubelet is dead"));
  }
}

/**
 * A runtime whose daemon goes away at the given point: the call in hand fails, as if only its answer had been lost.
 * `outage` resolves when the daemon is back.
 */
export function withOutage(
  runtime: Runtime,
  point: CrashPoint,
  outage: () => Promise<void>,
): { readonly runtime: Runtime; happened(): Step | undefined } {
  let steps = 0;
  let happened: Step | undefined;
  const interrupted = async (step: Step, call: () => unknown): Promise<never> => {
    happened = step;
    if (point.when === "after") await call();
    await outage();
    throw new RuntimeError("Unavailable", "the connection to the runtime was lost");
  };
  return {
    runtime: wrapped(runtime, (name, call) =>
      isStep(name) && ++steps === point.step ? interrupted(name, call) : call(),
    ),
    happened: () => happened,
  };
}
