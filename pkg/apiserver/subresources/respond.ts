import type { Status } from "#pkg/api/types/meta-v1.ts";
import { definitionNameOf, schemaOf } from "#pkg/api/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes } from "../contract.ts";
import { encodeStatus, sendBytes } from "../http/reply.ts";
import { readObject } from "../registry/body.ts";
import { admissionAttributes, type Call } from "../registry/call.ts";
import { optionsObject } from "../registry/create.ts";
import { parseWriteOptions, type WriteOptions } from "../registry/options.ts";

/** Answers with a Status in an encoding the client reads. */
export function sendStatus(call: Call, code: number, status: Status): void | Promise<void> {
  const { encoding } = call.services.negotiator.negotiate(call.request.headers["accept"], {
    protobuf: true,
    transforms: false,
  });
  return sendBytes(call, code, encoding, encodeStatus(encoding, status));
}

/** The body of a POST to a subresource whose kind is not its parent's. */
export async function readPosted(
  call: Call,
  kind: { readonly group: string; readonly version: string; readonly kind: string },
): Promise<{ object: KubeObject; options: WriteOptions }> {
  const options = parseWriteOptions("CreateOptions", call.target.query);
  const schema = schemaOf(definitionNameOf(kind.group, kind.version, kind.kind)!);
  const object = await readObject(call, { ...kind, schema, custom: false }, options.fieldValidation);
  return { object, options };
}

/** Runs admission around a write that is not an ordinary one. */
export async function withAdmission<T>(
  call: Call,
  fields: Pick<AdmissionAttributes, "operation" | "name" | "object" | "oldObject" | "dryRun"> & {
    readonly options: WriteOptions;
  },
  write: (object: KubeObject | undefined) => Promise<T>,
): Promise<T> {
  const { admission } = call.services;
  const attributes = admissionAttributes(call, { ...fields, options: optionsObject("CreateOptions", fields.options) });
  const admitted = admission.admit(attributes);
  if (admitted !== undefined) await admitted;
  const valid = admission.validate(attributes);
  if (valid !== undefined) await valid;
  let stored = false;
  try {
    const result = await write(attributes.object);
    stored = !fields.dryRun;
    return result;
  } finally {
    const settled = admission.settle(attributes, stored);
    if (settled !== undefined) await settled;
  }
}
