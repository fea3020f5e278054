import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Agent } from "node:http";
import type { ClientRequest } from "node:http";

const CREATED = "http.client.request.created";

/**
 * The connections to one Docker daemon. docker-modem hears of an answer's end only: where a daemon is killed while it answers, it
 * would wait for the rest for ever, so such an answer is made to count as a connection that failed.
 */
export class DockerConnections {
  readonly agent = new Agent({ keepAlive: true });

  constructor() {
    subscribe(CREATED, this.#follow);
  }

  readonly #follow = (message: unknown): void => {
    const { request } = message as { request: ClientRequest & { readonly agent?: Agent } };
    if (request.agent !== this.agent) return;
    request.once("response", (response) =>
      response.once("close", () => {
        if (response.complete) return;
        request.emit("error", Object.assign(new Error("the answer was cut off"), { code: "ECONNRESET" }));
      }),
    );
  };

  close(): void {
    unsubscribe(CREATED, this.#follow);
    this.agent.destroy();
  }
}
