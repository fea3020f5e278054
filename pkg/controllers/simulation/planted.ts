/** Mistakes made on purpose: what the simulation is worth shows in whether it finds them. */
import type { LoadHookSync } from "node:module";

export interface PlantedMistake {
  readonly name: string;
  /** Below pkg/. */
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly text: string;
  readonly instead: string;
}

/** A hook for loading modules that replaces the passage; throws when the source does not have it just once. */
export function plant({ file, text, instead }: PlantedMistake): LoadHookSync {
  return (url, context, nextLoad) => {
    const loaded = nextLoad(url, context);
    if (!url.endsWith(`/pkg/${file}`)) return loaded;
    const parts = String(loaded.source).split(text);
    if (parts.length !== 2) throw new Error(`${file} has this ${parts.length - 1} times: ${text}`);
    return { ...loaded, source: parts.join(instead) };
  };
}
