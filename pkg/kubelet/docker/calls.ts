import { RuntimeError } from "../cri/runtime.ts";
import type { RuntimeErrorCode } from "../cri/runtime.ts";

/** Docker's error in the words of the runtime seam. */
export function translate(error: unknown): RuntimeError {
  const { statusCode, message, code } = error as {
    statusCode?: number;
    message?: string;
    code?: string;
    json?: { message?: string };
  };
  const said = (error as { json?: { message?: string } }).json?.message ?? message ?? String(error);
  const codes: Record<number, RuntimeErrorCode> = { 400: "InvalidArgument", 404: "NotFound", 409: "AlreadyExists" };
  const unavailable = ["ECONNREFUSED", "ENOENT", "ECONNRESET", "EPIPE"].includes(code ?? "");
  return new RuntimeError(
    unavailable ? "Unavailable" : ((statusCode === undefined ? undefined : codes[statusCode]) ?? "Unknown"),
    said,
    { cause: error },
  );
}

/** Runs a call to Docker; "not modified" and "not there" count as done where they are listed. */
export async function call<T>(work: () => Promise<T>, tolerated: readonly number[] = []): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RuntimeError) throw error;
    if (tolerated.includes((error as { statusCode?: number }).statusCode ?? 0)) return undefined;
    throw translate(error);
  }
}
/** The same for calls that must succeed. */
export async function must<T>(work: () => Promise<T>): Promise<T> {
  return (await call(work)) as T;
}
