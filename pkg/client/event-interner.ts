import { parseWithoutManagedFields } from "./managed-fields.ts";

/** How many lines are remembered: watches of one process hear of the same change within moments. */
const MAX_LINES = 1024;
/** Longer lines are rarely shared and would keep much memory. */
const MAX_LINE_LENGTH = 64 * 1024;

/**
 * Parses informers' watch events once for all clients that share it: several informers of a process get the very same
 * object for the same bytes, which saves the parsing and the memory. Objects are therefore shared between their caches.
 */
export class EventInterner {
  readonly #parsed = new Map<string, unknown>();

  parse(line: string): unknown {
    if (line.length > MAX_LINE_LENGTH) return parseWithoutManagedFields(line);
    const known = this.#parsed.get(line);
    if (known !== undefined) return known;
    const parsed = parseWithoutManagedFields(line);
    this.#parsed.set(line, parsed);
    if (this.#parsed.size > MAX_LINES) {
      const [oldest] = this.#parsed.keys();
      if (oldest !== undefined) this.#parsed.delete(oldest);
    }
    return parsed;
  }
}
