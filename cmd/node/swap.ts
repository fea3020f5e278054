import { readFile } from "node:fs/promises";
import { ifExists } from "#pkg/util/index.ts";

/** Whether /proc/swaps has more than its heading. Pure. */
function swaps(text: string): boolean {
  return text.trim().split("\n").length > 1;
}

/** A kernel without swap has no such file. @throws Error in upstream's words on a machine that swaps */
export async function refuseSwap(file = "/proc/swaps"): Promise<void> {
  const text = (await ifExists(readFile(file, "utf8"))) ?? "";
  if (swaps(text))
    throw new Error(
      "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false; " +
        `${file} contains: ${text.trim()}`,
    );
}
