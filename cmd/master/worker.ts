/**
 * The thread of scheduler and controllers. It speaks the API over a message port, in the name of each loop's identity, so
 * that heavy loops never hold up a request.
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { type Client, createClient, portTransport } from "#pkg/client/index.ts";
import { RealClock, SecureRandom } from "#pkg/util/index.ts";
import { createLogger } from "../common/logging.ts";
import { LoopsMetrics } from "./loops-metrics.ts";
import type { Explanation } from "#pkg/scheduler/index.ts";
import { type LoopsConfig, type RunningScheduler, loopsUserAgent, runLoops } from "./loops.ts";

/** What the main thread passes to this thread. */
export interface WorkerInput {
  readonly config: LoopsConfig;
  readonly verbosity: number;
  readonly format: string;
  /** Name and port of the API server. */
  readonly host: string;
  /** The API server's main thread serves the other end. */
  readonly port: MessagePort;
}
/** What the main thread says to this thread. */
export type WorkerCommand =
  | { readonly type: "stop" }
  | { readonly type: "explain"; readonly id: number; readonly pod: string }
  | { readonly type: "metrics"; readonly id: number };
/** Undefined or no text: nothing is known; "elsewhere" when another process's scheduler leads. */
export interface WorkerReply {
  readonly id: number;
  readonly answer: Explanation | string | undefined;
}

const { config, verbosity, format, host, port } = workerData as WorkerInput;
const main = parentPort;
if (main === null) throw new Error("this file runs as a worker thread of kubits-master");
const clock = new RealClock();
const abort = new AbortController();
const metrics = new LoopsMetrics(host);
const clients = new Map<string, Client>();
const connection = portTransport(port);

function clientAs(user: string): Client {
  const known = clients.get(user);
  if (known !== undefined) return known;
  const client = createClient(metrics.observed(connection.as(user), clock), { userAgent: loopsUserAgent(user), clock });
  clients.set(user, client);
  return client;
}

let scheduler: RunningScheduler | undefined;
main.on("message", (command: WorkerCommand) => {
  if (command.type === "stop") {
    abort.abort(new Error("kubits-master is shutting down"));
    return;
  }
  const { id } = command;
  const reply = (answer: WorkerReply["answer"]) => main.postMessage({ id, answer } satisfies WorkerReply);
  if (command.type === "explain") reply(scheduler === undefined ? "elsewhere" : scheduler.explain(command.pod));
  else
    Promise.all([scheduler?.metrics() ?? "", metrics.text()]).then(
      (texts) => reply(texts.join("")),
      (err: unknown) => {
        log.error({ err }, "Cannot render the metrics of scheduler and controllers");
        reply("");
      },
    );
});
const log = createLogger({ component: "kubits-master", verbosity, format });
const onScheduler = (running: RunningScheduler | undefined) => (scheduler = running);
await runLoops({ config, clientAs, clock, random: new SecureRandom(), log, metrics, onScheduler }, abort.signal);
log.debug({}, "Scheduler and controllers have ended");
connection.close();
main.close();
