/** What is gathered for one write. */
export const WRITE_BYTES = 256 * 1024;
const KEPT = 8;
const free: Buffer[] = [];

/** A buffer for one write, from a small pool shared by all connections; idle connections hold none. */
export function borrowBuffer(): Buffer {
  return free.pop() ?? Buffer.allocUnsafeSlow(WRITE_BYTES);
}
/** Gives it back when nothing refers to it any more. */
export function returnBuffer(buffer: Buffer): void {
  if (free.length < KEPT) free.push(buffer);
}
