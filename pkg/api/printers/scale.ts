import type { Scale } from "#pkg/api/types/autoscaling-v1.ts";
import { columnsOf } from "../define.ts";
import type { Printer } from "../resource.ts";
import { ageOf } from "./cells.ts";

/** How the Scale of an object is shown, whatever kind the object is of: for `kubectl get --subresource=scale`. */
export const scalePrinter: Printer = {
  columns: columnsOf({ group: "autoscaling", kind: "Scale" }),
  printRow(object, now) {
    const { spec, status } = object as unknown as Scale;
    return [object.metadata.name ?? "", spec?.replicas ?? 0, status?.replicas ?? 0, ageOf(object, now)];
  },
};
