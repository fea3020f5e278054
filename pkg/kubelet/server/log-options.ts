/** What a request for a log asks for. */
import { HttpError } from "./http-error.ts";
import type { LogOptions } from "./logs.ts";

/** Query parameters of PodLogOptions. Throws HttpError on what upstream's API does not allow, in its kubelet's words. */
export function logOptions(query: URLSearchParams, now: number): LogOptions {
  const sinceSeconds = wholeNumber(query, "sinceSeconds", 1);
  const sinceTime = query.get("sinceTime") ?? "";
  if (sinceSeconds !== undefined && sinceTime !== "") throw invalid();
  const stream = query.get("stream");
  return {
    follow: flag(query, "follow"),
    tailLines: wholeNumber(query, "tailLines", 0),
    since: sinceSeconds !== undefined ? now - sinceSeconds * 1000 : sinceTime === "" ? undefined : time(sinceTime),
    timestamps: flag(query, "timestamps"),
    limitBytes: wholeNumber(query, "limitBytes", 1),
    stream: stream === "Stdout" || stream === "Stderr" ? stream : "All",
  };
}

/** Values of flags that clients send. */
export function flag(query: URLSearchParams, name: string): boolean {
  return ["1", "true"].includes(query.get(name) ?? "");
}

const invalid = () => new HttpError(422, '{"message": "Invalid request."}');
const undecodable = () => new HttpError(400, '{"message": "Unable to decode query."}');

function wholeNumber(query: URLSearchParams, name: string, least: number): number | undefined {
  const text = query.get(name) ?? "";
  if (text === "") return undefined;
  const value = Number(text);
  if (!Number.isInteger(value)) throw undecodable();
  if (value < least) throw invalid();
  return value;
}

function time(text: string): number {
  const value = Date.parse(text);
  if (Number.isNaN(value)) throw undecodable();
  return value;
}
