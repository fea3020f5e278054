/** True for an error of the operating system (or of Node.js) with one of these codes, as ENOENT. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code !== undefined && codes.includes(code);
}
