/** What is gathered for one write. */
export const WRITE_BYTES = 256 * 1024;

let shared: Buffer | undefined;

/**
 * Where all connections gather what they write, one after the other. A TLS socket with nothing else to write has taken
 * the bytes over when its write() returns: it has encrypted them, or copied them where it cannot do that yet. So one
 * piece of memory serves all, and stays in the processor's cache; one for each write would also be garbage, and of the
 * kind that makes V8 collect everything.
 */
export function gatheringBuffer(): Buffer {
  return (shared ??= Buffer.allocUnsafeSlow(WRITE_BYTES));
}
