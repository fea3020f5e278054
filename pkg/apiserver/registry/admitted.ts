import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes } from "../contract.ts";
import { admissionAttributes, type Call } from "./call.ts";
import { optionsObject } from "./create.ts";
import type { WriteOptions } from "./options.ts";

/** Runs admission around a write that is not an ordinary one. */
export async function withAdmission<T>(
  call: Call,
  fields: Pick<AdmissionAttributes, "operation" | "name" | "oldObject" | "dryRun"> & {
    readonly object: KubeObject;
    readonly options: WriteOptions;
  },
  write: (object: KubeObject) => T | Promise<T>,
): Promise<T> {
  const { admission } = call.services;
  const attributes = admissionAttributes(call, { ...fields, options: optionsObject("CreateOptions", fields.options) });
  const admitted = admission.admit(attributes);
  if (admitted !== undefined) await admitted;
  const valid = admission.validate(attributes);
  if (valid !== undefined) await valid;
  let stored = false;
  try {
    const result = await write(attributes.object ?? fields.object);
    stored = !fields.dryRun;
    return result;
  } finally {
    const settled = admission.settle(attributes, stored);
    if (settled !== undefined) await settled;
  }
}
