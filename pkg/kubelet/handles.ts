import type { FileHandle } from "node:fs/promises";

/** What the work makes of a file that has just been opened. It is closed if the work fails: a handle nobody has can only leak. */
export async function orClosed<T>(file: FileHandle, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await file.close();
    throw error;
  }
}
