import { type Client, createClient, directTransport } from "#pkg/client/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { ApiHandler } from "../contract.ts";

const USER = { name: "system:apiserver", groups: ["system:masters", "system:authenticated"] };

/** The API server as a client of itself, for background work that goes by the rules everybody else goes by. */
export function loopbackClient(handler: ApiHandler, clock: Clock): Client {
  return createClient(directTransport(handler, { user: USER }), { userAgent: "kube-apiserver", clock });
}
