/**
 * The thread of scheduler and controllers. It asks the main thread for a message port per identity and speaks the API
 * over it, so that heavy loops never hold up a request.
 */
import { MessageChannel, type MessagePort, parentPort, workerData } from "node:worker_threads";
import { type Client, EventInterner, type Transport, createClient, portTransport } from "#pkg/client/index.ts";
import { RealClock, SecureRandom } from "#pkg/util/index.ts";
import { createLogger } from "../common/logging.ts";
import { VERSION } from "../common/program.ts";
import type { Explanation } from "#pkg/scheduler/index.ts";
import { type Explainer, type LoopsConfig, runLoops } from "./loops.ts";

/** What the main thread passes to this thread. */
export interface WorkerInput {
  readonly config: LoopsConfig;
  readonly verbosity: number;
  readonly format: string;
}
/** What this thread asks of the main thread. */
export interface ConnectRequest {
  readonly type: "connect";
  readonly user: string;
  readonly port: MessagePort;
}

/** What the main thread says to this thread. */
export type WorkerCommand =
  | { readonly type: "stop" }
  | { readonly type: "explain"; readonly id: number; readonly pod: string };
/** `explanation` is "elsewhere" when another process's scheduler leads. */
export interface ExplainReply {
  readonly type: "explained";
  readonly id: number;
  readonly explanation: Explanation | undefined | "elsewhere";
}

const { config, verbosity, format } = workerData as WorkerInput;
const main = parentPort;
if (main === null) throw new Error("this file runs as a worker thread of kubits-master");
const clock = new RealClock();
const abort = new AbortController();
const clients = new Map<string, Client>();
const transports: Transport[] = [];
// All clients of this thread share one parsed object per watch event.
const interner = new EventInterner();

function clientAs(user: string): Client {
  const known = clients.get(user);
  if (known !== undefined) return known;
  const { port1, port2 } = new MessageChannel();
  main!.postMessage({ type: "connect", user, port: port2 }, [port2]);
  const transport = portTransport(port1);
  transports.push(transport);
  const client = createClient(transport, { interner, userAgent: `kubits-master/${VERSION}`, clock });
  clients.set(user, client);
  return client;
}

let scheduler: Explainer | undefined;
main.on("message", (command: WorkerCommand) => {
  if (command.type === "stop") {
    abort.abort(new Error("kubits-master is shutting down"));
    return;
  }
  const { id, pod } = command;
  const explanation = scheduler === undefined ? "elsewhere" : scheduler.explain(pod);
  main.postMessage({ type: "explained", id, explanation } satisfies ExplainReply);
});
const log = createLogger({ component: "kubits-master", verbosity, format });
const onScheduler = (running: Explainer | undefined) => (scheduler = running);
await runLoops({ config, clientAs, clock, random: new SecureRandom(), log, onScheduler }, abort.signal);
log.debug({}, "Scheduler and controllers have ended");
for (const transport of transports) transport.close();
main.close();
