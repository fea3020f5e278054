import { DecodeError, decodeJson, decodeYaml, isRecord } from "#pkg/apimachinery/index.ts";
import { bodyEncoding } from "../../http/negotiate.ts";
import { noObject, NO_TYPE, untyped } from "../../http/document-type.ts";
import type { WebhookResponse } from "./client.ts";

/** Most of an answer that is repeated in an error. */
const SHOWN_BYTES = 2048;

/** The document in a successful answer. @throws Error in the words of upstream's client */
export function readAnswer({ status, body, contentType }: WebhookResponse): Record<string, unknown> {
  if (body.length === 0) {
    const type = contentType ?? "application/json";
    throw new Error(`0-length response with status code: ${status} and content type: ${type}`);
  }
  const value = decode(body, contentType);
  if (value === null) return {};
  const why = isRecord(value) ? untyped(value) : noObject(value);
  if (why !== undefined) throw new Error(why);
  return value as Record<string, unknown>;
}

function decode(body: Buffer, contentType: string | undefined): unknown {
  const isJson = bodyEncoding(contentType) !== "yaml" && body.toString("utf8").trimStart().startsWith("{");
  if (!isJson) return decodeYaml(body.toString("utf8")).value; // what is no object of JSON is taken for YAML
  try {
    return decodeJson(body, { duplicates: false }).value;
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new Error(`${NO_TYPE}: ${cause.message}`, { cause });
  }
}

/** What an answer means that is not a success: its own message where it is a Status, or what its code says. */
export function failureText(response: WebhookResponse): string {
  return statusMessage(response) ?? codeText(response.status, shown(response));
}

function statusMessage(response: WebhookResponse): string | undefined {
  let answer: Record<string, unknown>;
  try {
    answer = readAnswer(response);
  } catch {
    return undefined; // no document: its code has to do
  }
  const isStatus = answer["kind"] === "Status" && answer["apiVersion"] === "v1" && answer["status"] !== "Success";
  return isStatus && typeof answer["message"] === "string" ? answer["message"] : undefined;
}

function shown({ body, contentType }: WebhookResponse): string {
  const isText = contentType === undefined || contentType === "" || contentType.startsWith("text/");
  return isText ? body.toString("utf8", 0, SHOWN_BYTES).trim() : "unknown";
}

const CODE_TEXTS: Readonly<Record<number, string>> = {
  400: "the server rejected our request for an unknown reason",
  401: "the server has asked for the client to provide credentials",
  404: "the server could not find the requested resource",
  405: "the server does not allow this method on the requested resource",
  409: "the server reported a conflict",
  422: "the server rejected our request due to an error in our request",
  429: "the server has received too many requests and has asked us to try again later",
  503: "the server is currently unable to handle the request",
  504: "the server was unable to return a response in the time allotted, but may still be processing the request",
};

function codeText(code: number, text: string): string {
  const known = CODE_TEXTS[code];
  if (known !== undefined) return known;
  if (code === 406 && (text === "" || text === "unknown"))
    return "the server was unable to respond with a content type that the client supports";
  if (code === 403 || code === 406 || code === 415) return text;
  return code >= 500
    ? `an error on the server (${JSON.stringify(text)}) has prevented the request from succeeding`
    : `the server responded with the status code ${code} but did not return more information`;
}
