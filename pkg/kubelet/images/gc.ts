/** Removes unused images when their file system fills up: least recently used first, down to the low threshold. */
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { Image, Runtime } from "../cri/runtime.ts";
import { fileSystemStats } from "../stats/file-system.ts";
import type { ImageAccess } from "./access.ts";

/** Older runtimes do not mark the pause image as pinned; without it no pod can start. */
const PAUSE = /(^|\/)pause[:@]/;

/** What is decided by. */
export interface ImageGcInput {
  readonly images: readonly Image[];
  /** References and ids that containers use. */
  readonly inUse: ReadonlySet<string>;
  /** By image id, in monotonic milliseconds; an image never used here counts from when it was first seen. */
  readonly lastUsed: ReadonlyMap<string, number>;
  readonly firstSeen: ReadonlyMap<string, number>;
  readonly now: number;
  readonly minimumAgeMs: number;
}

/** What may go, in the order it should. Pure. */
export function removableImages({ images, inUse, lastUsed, firstSeen, now, minimumAgeMs }: ImageGcInput): Image[] {
  const usedAt = ({ id }: Image) => lastUsed.get(id) ?? firstSeen.get(id) ?? now;
  return images
    .filter((image) => {
      const names = [image.id, ...image.repoTags, ...image.repoDigests];
      if (image.pinned || names.some((name) => inUse.has(name) || PAUSE.test(name))) return false;
      return now - (firstSeen.get(image.id) ?? now) >= minimumAgeMs;
    })
    .sort((a, b) => usedAt(a) - usedAt(b));
}

/** What image collection needs. */
export interface ImageGcDeps {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly lastUsed: ReadonlyMap<string, number>;
  readonly access: Pick<ImageAccess, "prune">;
  readonly highPercent: number;
  readonly lowPercent: number;
  readonly minimumAgeMs: number;
  readonly onFailure: (reason: string, message: string) => void;
}

export class ImageGc {
  readonly #deps: ImageGcDeps;
  readonly #firstSeen = new Map<string, number>();

  constructor(deps: ImageGcDeps) {
    this.#deps = deps;
  }

  /** Frees space when the image file system is fuller than the high threshold, or at once when `force` is set. */
  async collect(signal: AbortSignal, force = false): Promise<number> {
    const { runtime, clock, log, lastUsed, highPercent, lowPercent, minimumAgeMs, onFailure } = this.#deps;
    const [images, containers, { images: filesystems }] = await Promise.all([
      runtime.listImages({ signal }),
      runtime.listContainers({}, { signal }),
      runtime.imageFsInfo({ signal }),
    ]);
    const now = clock.monotonic();
    const ids = new Set(images.map(({ id }) => id));
    await this.#deps.access.prune(ids);
    for (const id of this.#firstSeen.keys()) if (!ids.has(id)) this.#firstSeen.delete(id);
    for (const id of ids) if (!this.#firstSeen.has(id)) this.#firstSeen.set(id, now);
    const mountpoint = filesystems[0]?.mountpoint;
    if (mountpoint === undefined || mountpoint === "") return 0;
    const disk = await fileSystemStats(mountpoint);
    if (disk === undefined || disk.capacityBytes === 0) return 0;
    const { capacityBytes: capacity, availableBytes: available } = disk;
    const usagePercent = 100 - Math.floor((available * 100) / capacity);
    if (!force && usagePercent < highPercent) return 0;
    const wanted = force ? Infinity : (capacity * (100 - lowPercent)) / 100 - available;
    const inUse = new Set(containers.flatMap(({ image, imageRef }) => [image, imageRef]));
    let freed = 0;
    for (const image of removableImages({
      images,
      inUse,
      lastUsed,
      firstSeen: this.#firstSeen,
      now,
      minimumAgeMs: force ? 0 : minimumAgeMs,
    })) {
      if (freed >= wanted) break;
      try {
        await runtime.removeImage({ image: image.id }, { signal });
        freed += image.sizeBytes;
        log.info({ image: image.repoTags[0] ?? image.id, sizeBytes: image.sizeBytes }, "Removed an unused image");
      } catch (err) {
        if (signal.aborted) throw err;
        log.warn({ err, image: image.id }, "Removing an unused image failed");
      }
    }
    if (!force && freed < wanted)
      onFailure(
        "FreeDiskSpaceFailed",
        `Failed to garbage collect required amount of images. Attempted to free ${Math.round(wanted)} bytes, but only found ${freed} bytes eligible to free.`,
      );
    return freed;
  }
}
