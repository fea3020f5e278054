import { goQuote } from "../field-errors.ts";
import { StatusError } from "../errors.ts";
import { type Fields, pathTexts } from "./fields.ts";
import { identityOf, type Manager } from "./managers.ts";

/** Fields that an applied configuration changes although `manager` owns them. */
export interface ManagerConflict {
  readonly manager: Manager;
  readonly fields: Fields;
}

function show({ name, operation, apiVersion, subresource }: Manager): string {
  const shown = subresource === "" ? goQuote(name) : `${goQuote(name)} with subresource ${goQuote(subresource)}`;
  return operation === "Update" ? `${shown} using ${apiVersion}` : shown;
}

/** The 409 of server-side apply, with a cause per field. */
export function applyConflict(conflicts: readonly ManagerConflict[]): StatusError {
  const byManager = conflicts
    .map(({ manager, fields }) => ({ manager, paths: pathTexts(fields) }))
    .sort((a, b) => (identityOf(a.manager) < identityOf(b.manager) ? -1 : 1));
  const causes = byManager.flatMap(({ manager, paths }) =>
    paths.map((field) => ({ reason: "FieldManagerConflict", message: `conflict with ${show(manager)}`, field })),
  );
  const message =
    causes.length === 1
      ? `Apply failed with 1 conflict: ${causes[0]!.message}: ${causes[0]!.field}`
      : `Apply failed with ${causes.length} conflicts: ${byManager
          .flatMap(({ manager, paths }) => [`conflicts with ${show(manager)}:`, ...paths.map((path) => `- ${path}`)])
          .join("\n")}`;
  return new StatusError({ status: "Failure", message, reason: "Conflict", details: { causes }, code: 409 });
}
