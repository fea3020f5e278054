import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { growingLru } from "#pkg/util/index.ts";

/**
 * Remembers the last version of each object that we wrote ourselves. A cache that shows an older one must not be acted
 * upon where acting twice would do harm. Versions of one resource are comparable (KEP-5504).
 */
export class WriteBarrier {
  readonly #written = growingLru<string, bigint>(10_000);

  /** Call with what a write returned. */
  wrote({ metadata }: AnyObject): void {
    const version = parse(metadata.resourceVersion);
    const uid = metadata.uid ?? "";
    if (version !== undefined && version > (this.#written.get(uid) ?? -1n)) this.#written.set(uid, version);
  }
  /** Has the cache seen our last write of this object? */
  isCurrent({ metadata }: AnyObject): boolean {
    const written = this.#written.get(metadata.uid ?? "");
    const version = parse(metadata.resourceVersion);
    return written === undefined || version === undefined || version >= written;
  }
  forget(uid: string): void {
    this.#written.delete(uid);
  }
}

function parse(version: string | undefined): bigint | undefined {
  return version !== undefined && /^[0-9]+$/.test(version) ? BigInt(version) : undefined;
}
