/** Requests for tests of who sends them. */
import { FakeClock } from "#pkg/util/index.ts";
import type { ApiRequest } from "../contract.ts";

export const clock = new FakeClock(Date.now());

/** A list of values is a header sent as often. */
export function request(values: Record<string, string | string[]> = {}, peer: ApiRequest["peer"] = {}): ApiRequest {
  const headers: Record<string, string> = {};
  const repeated = new Map<string, string[]>();
  for (const [name, value] of Object.entries(values)) {
    headers[name] = typeof value === "string" ? value : value.join(", ");
    if (typeof value !== "string") repeated.set(name, value);
  }
  return {
    method: "GET",
    url: "/api",
    headers,
    repeated,
    body: async () => Buffer.alloc(0),
    remoteAddress: "127.0.0.1",
    peer,
    signal: new AbortController().signal,
  };
}
export const bearer = (token: string): ApiRequest => request({ authorization: `Bearer ${token}` });
export const unauthorized = { name: "StatusError", message: "Unauthorized" };
