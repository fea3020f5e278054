/** What an error says, whatever was thrown. */
export function errorMessage(error: unknown): string {
  // Node.js gives one that stands for several (no address of a name could be connected to) no words of its own.
  if (error instanceof AggregateError && error.message === "") return error.errors.map(errorMessage).join(", ");
  return error instanceof Error ? error.message : String(error);
}

/** True for an error of the operating system (or of Node.js) with one of these codes, as ENOENT. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code !== undefined && codes.includes(code);
}

/** What a promise gives, or undefined where there is no such file or directory (any more); other errors are thrown on. */
export async function ifExists<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
