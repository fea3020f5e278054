import type { CacheEntry } from "#pkg/storage/cacher/index.ts";

/** Enough for watchers that are a few turns apart; what is older is framed again for those who need it. */
const MAX_BYTES = 512 * 1024;

/** The watch frames of one entry, by their form. */
class EntryFrames extends Map<string, Buffer> {
  readonly entry: CacheEntry;
  bytes = 0;

  constructor(entry: CacheEntry) {
    super();
    this.entry = entry;
  }
}

/** Watch frames of the entries that were framed last, bounded in bytes. */
export class RecentFrames {
  readonly #byEntry = new Map<CacheEntry, EntryFrames>();
  #bytes = 0;
  #latest: EntryFrames | undefined;

  /** The frames of an entry, which may be none. */
  of(entry: CacheEntry): EntryFrames {
    if (this.#latest?.entry === entry) return this.#latest;
    let frames = this.#byEntry.get(entry);
    if (frames === undefined) this.#byEntry.set(entry, (frames = new EntryFrames(entry)));
    return (this.#latest = frames);
  }
  /** Remembers a frame, and forgets the oldest entries' frames when there are too many. Returns the frame. */
  add(frames: EntryFrames, form: string, frame: Buffer): Buffer {
    frames.set(form, frame);
    frames.bytes += frame.length;
    this.#bytes += frame.length;
    for (const [entry, oldest] of this.#byEntry) {
      if (this.#bytes <= MAX_BYTES || oldest === frames) break;
      this.#byEntry.delete(entry);
      this.#bytes -= oldest.bytes;
    }
    return frame;
  }
}
