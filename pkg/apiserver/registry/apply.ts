import { StatusError } from "#pkg/apimachinery/index.ts";
import type { Call } from "./call.ts";
import type { WriteOptions } from "./options.ts";
import type { Patch } from "./patch.ts";
import type { WriteView } from "./update.ts";

/** Server-side apply through a view. */
export async function applyThrough(
  _call: Call,
  _view: WriteView,
  _patch: Patch,
  _options: WriteOptions,
): Promise<void> {
  throw new StatusError({
    status: "Failure",
    reason: "UnsupportedMediaType",
    code: 415,
    message: "server-side apply is not served",
  });
}
