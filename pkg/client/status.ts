import { isRecord, REASON_CODES, StatusError } from "#pkg/apimachinery/index.ts";
import type { TransportResponse } from "./transport/transport.ts";

/** The error in an unsuccessful response: its Status, or one made from the HTTP code where the body is something else. */
export function statusOf(response: Pick<TransportResponse, "status" | "headers" | "body">): StatusError {
  const text = response.body.toString("utf8");
  try {
    const body: unknown = JSON.parse(text);
    if (isRecord(body) && body["kind"] === "Status")
      return new StatusError({ ...body, code: body["code"] ?? response.status } as StatusError["status"]);
  } catch {
    // Not JSON: a proxy's page or plain text; the code says what there is to know.
  }
  const reason = Object.entries(REASON_CODES).find(([, code]) => code === response.status)?.[0] ?? "Unknown";
  return new StatusError({
    status: "Failure",
    reason,
    code: response.status,
    message: messageOf(response.status, text.trim().slice(0, 1024)),
  });
}

function messageOf(code: number, said: string): string {
  // Go's server says nothing more of a path that it does not know.
  if (code === 404 && said === "404 page not found") return "the server could not find the requested resource";
  return said === "" ? `the server responded with code ${code}` : said;
}
