import type { Status } from "#pkg/api/types/meta-v1.ts";
import { definitionNameOf, schemaOf } from "#pkg/api/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { encodeStatus, sendBytes } from "../http/reply.ts";
import { readObject } from "../registry/body.ts";
import type { Call } from "../registry/call.ts";
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
