import { badRequest, type StatusError } from "#pkg/apimachinery/index.ts";

/** Where a chunked list goes on: upstream's token, so that one made by either server reads the same. */
export interface ContinueToken {
  /** Revision the list is read at; -1 continues in the present state. */
  readonly revision: number;
  /** Key relative to the list's prefix, the last one that was sent. */
  readonly startAfter: string;
}

const VERSION = "meta.k8s.io/v1";

/** base64url JSON {v, rv, start}; `start` is the first key not sent yet, which is the last one sent plus NUL. */
export function encodeContinue({ revision, startAfter }: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: VERSION, rv: revision, start: `${startAfter}\0` })).toString("base64url");
}

function invalidToken(why: string): StatusError {
  return badRequest(`invalid continue token: continue key is not valid: ${why}`);
}

/** @throws StatusError 400 */
export function decodeContinue(token: string): ContinueToken {
  let value: { v?: unknown; rv?: unknown; start?: unknown };
  try {
    value = JSON.parse(Buffer.from(token, "base64url").toString()) as typeof value;
  } catch {
    throw invalidToken("encoded data is not JSON");
  }
  const { v, rv, start } = value ?? {};
  if (v !== VERSION) throw invalidToken(`server does not recognize this encoded version ${JSON.stringify(v)}`);
  if (typeof rv !== "number" || !Number.isSafeInteger(rv) || rv === 0) {
    throw invalidToken("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  }
  if (typeof start !== "string" || start === "") {
    throw invalidToken("encoded start key empty (version meta.k8s.io/v1)");
  }
  // A key must not lead out of the list's own prefix.
  if (start.startsWith("/") || start.split("/").includes("..")) {
    throw invalidToken(JSON.stringify(start));
  }
  return { revision: rv, startAfter: start.endsWith("\0") ? start.slice(0, -1) : start };
}
