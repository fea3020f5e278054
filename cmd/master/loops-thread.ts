import { MessageChannel, Worker } from "node:worker_threads";
import type { ApiHandler } from "#pkg/apiserver/index.ts";
import { servePort } from "#pkg/apiserver/index.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { Logger } from "#pkg/util/index.ts";
import type { Explanation } from "#pkg/scheduler/index.ts";
import type { WorkerCommand, WorkerInput, WorkerReply } from "./worker.ts";

const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):[^:]+$/;

/** The identity behind a name, with the groups that authentication would have given it. */
function identityOf(user: string): UserInfo {
  const namespace = SERVICE_ACCOUNT.exec(user)?.[1];
  const accountGroups =
    namespace === undefined ? [] : ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
  return { name: user, groups: [...accountGroups, "system:authenticated"] };
}

export interface LoopsThread {
  readonly running: boolean;
  /** Resolves when the thread has ended; rejects when it crashed. */
  readonly ended: Promise<void>;
  /** What the scheduler says of a pod ("namespace/name"); "elsewhere" when no scheduler runs or leads here. */
  explain(pod: string): Promise<Explanation | "elsewhere" | undefined>;
  /** Metrics of the loops that run here as Prometheus text. */
  metrics(): Promise<string>;
  /** Asks it to end in order. */
  stop(): void;
  /** Ends it at once; harmless when it has ended. */
  terminate(): Promise<void>;
}

/** Starts scheduler and controllers in a thread of their own, served by `handler` under their own identities. */
export function startLoopsThread(handler: ApiHandler, input: Omit<WorkerInput, "port">, log: Logger): LoopsThread {
  const { port1, port2 } = new MessageChannel();
  const workerData: WorkerInput = { ...input, port: port2 };
  const worker = new Worker(workerEntry(), { workerData, transferList: [port2], name: "loops" });
  const stopServing = servePort(handler, port1, identityOf);
  let running = true;
  const asked = new Map<number, { resolve: (answer: WorkerReply["answer"]) => void; gone: WorkerReply["answer"] }>();
  let questions = 0;
  const command = (message: WorkerCommand) => worker.postMessage(message);
  worker.on("message", ({ id, answer }: WorkerReply) => {
    asked.get(id)?.resolve(answer);
    asked.delete(id);
  });
  /** `gone` is the answer of a thread that has ended. */
  const ask = (question: (id: number) => WorkerCommand, gone: WorkerReply["answer"]) =>
    new Promise<WorkerReply["answer"]>((resolve) => {
      if (!running) {
        resolve(gone);
        return;
      }
      const id = questions++;
      asked.set(id, { resolve, gone });
      command(question(id));
    });
  const ended = new Promise<void>((resolve, reject) => {
    worker.on("error", (error) => {
      log.error({ err: error }, "The thread of scheduler and controllers crashed");
      reject(error);
    });
    worker.on("exit", () => {
      running = false;
      for (const { resolve: answer, gone } of asked.values()) answer(gone);
      asked.clear();
      stopServing();
      resolve();
    });
  });
  return {
    get running() {
      return running;
    },
    ended,
    explain: async (pod) =>
      (await ask((id) => ({ type: "explain", id, pod }), "elsewhere")) as Explanation | "elsewhere" | undefined,
    metrics: async () => (await ask((id) => ({ type: "metrics", id }), "")) as string,
    stop: () => command({ type: "stop" }),
    terminate: async () => void (await worker.terminate()),
  };
}

/** The thread's entry: beside this file, or beside the bundle that this file has become part of. */
function workerEntry(): URL {
  return new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./loops-worker.js", import.meta.url);
}
