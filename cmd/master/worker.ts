/**
 * The thread of scheduler and controllers. It asks the main thread for a message port per identity and speaks the API
 * over it, so that heavy loops never hold up a request.
 */
import { MessageChannel, type MessagePort, parentPort, workerData } from "node:worker_threads";
import { type Client, EventInterner, type Transport, createClient, portTransport } from "#pkg/client/index.ts";
import { RealClock, SecureRandom } from "#pkg/util/index.ts";
import { createLogger } from "../common/logging.ts";
import { VERSION } from "../common/program.ts";
import { type LoopsConfig, runLoops } from "./loops.ts";

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

main.on("message", (message: string) => {
  if (message === "stop") abort.abort(new Error("kubits-master is shutting down"));
});
const log = createLogger({ component: "kubits-master", verbosity, format });
await runLoops({ config, clientAs, clock, random: new SecureRandom(), log }, abort.signal);
log.debug({}, "Scheduler and controllers have ended");
for (const transport of transports) transport.close();
main.close();
