import { badRequest, DecodeError, decodeJson, isRecord, type StatusError } from "#pkg/apimachinery/index.ts";

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

function decoded(bytes: Buffer): { readonly v?: unknown; readonly rv?: unknown; readonly start?: unknown } {
  try {
    const { value } = decodeJson(bytes, { duplicates: false });
    return isRecord(value) ? value : {};
  } catch (error) {
    if (error instanceof DecodeError) throw invalidToken(error.message);
    throw error;
  }
}

/** @throws StatusError 400 */
export function decodeContinue(token: string): ContinueToken {
  const foreign = /[^\w-]/.exec(token)?.index ?? -1;
  // One character alone has six bits of a byte's eight.
  if (foreign >= 0 || token.length % 4 === 1) {
    throw invalidToken(`illegal base64 data at input byte ${foreign >= 0 ? foreign : token.length - 1}`);
  }
  const { v, rv, start } = decoded(Buffer.from(token, "base64url"));
  if (v !== VERSION) throw invalidToken(`server does not recognize this encoded version ${String(v ?? "")}`);
  if (typeof rv !== "number" || !Number.isSafeInteger(rv) || rv === 0) {
    throw invalidToken("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  }
  if (typeof start !== "string" || start === "") {
    throw invalidToken("encoded start key empty (version meta.k8s.io/v1)");
  }
  // A key must not lead out of the list's own prefix.
  if (start.startsWith("/") || start.split("/").includes("..")) {
    throw invalidToken(start);
  }
  return { revision: rv, startAfter: start.endsWith("\0") ? start.slice(0, -1) : start };
}
