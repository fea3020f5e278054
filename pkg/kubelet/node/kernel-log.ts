import { constants, openSync, readSync } from "node:fs";
import { hasCode } from "#pkg/util/index.ts";

/** No record is longer (the kernel's CONSOLE_EXT_LOG_MAX). */
const MAX_RECORD_BYTES = 8192;
/** The kernel's log holds fewer records than this; a read that never ends would hold up everything. */
const MAX_RECORDS = 100_000;

/** The kernel's log from now on, record by record (Documentation/ABI/testing/dev-kmsg). It stays open with its process. */
export class KernelLog {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(MAX_RECORD_BYTES);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Undefined where the log must not be read, as in some containers. */
  static open(path = "/dev/kmsg"): KernelLog | undefined {
    try {
      const log = new KernelLog(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
      log.read();
      return log;
    } catch (error) {
      if (hasCode(error, "ENOENT", "EACCES", "EPERM")) return undefined;
      throw error;
    }
  }

  /** What has been written since the last call, oldest first. Reads without waiting: a record costs microseconds. */
  read(): string[] {
    const records: string[] = [];
    for (let reads = 0; reads < MAX_RECORDS; reads++) {
      try {
        const length = readSync(this.#fd, this.#buffer);
        if (length === 0) break;
        records.push(this.#buffer.toString("utf8", 0, length));
      } catch (error) {
        if (hasCode(error, "EAGAIN")) break;
        // Older records were overwritten before they were read: it goes on with the oldest that is left.
        if (!hasCode(error, "EPIPE")) throw error;
      }
    }
    return records;
  }
}
