import { definitionNameOf, schemaOf } from "#pkg/api/index.ts";
import { badRequest, type KubeObject } from "#pkg/apimachinery/index.ts";
import { protobufMessageFor } from "#pkg/apimachinery/protobuf/index.ts";
import { encodeObject, sendBytes } from "../http/reply.ts";
import type { ReviewHandler } from "../review.ts";
import { readObject } from "./body.ts";
import { withAdmission } from "./admitted.ts";
import type { Call } from "./call.ts";
import { parseWriteOptions } from "./options.ts";

/** POST of a kind that is computed: decoded like any other, answered with what the handler makes of it. */
export async function serveReview(
  call: Call,
  kind: { readonly group: string; readonly version: string; readonly kind: string },
  handler: ReviewHandler,
): Promise<void> {
  const { target, installed } = call;
  const message = protobufMessageFor(kind);
  const { encoding } = call.services.negotiator.negotiate(call.request.headers["accept"], {
    protobuf: message !== undefined,
    transforms: false,
  });
  const options = parseWriteOptions("CreateOptions", target.query);
  const name = definitionNameOf(kind.group, kind.version, kind.kind);
  if (name === undefined) throw badRequest(`no kind ${kind.kind} is registered`);
  const object: KubeObject = await readObject(
    call,
    { ...kind, schema: schemaOf(name), custom: false },
    options.fieldValidation,
  );
  if (target.subresource === "") installed.definition.applyDefaults(object);
  const answer = await withAdmission(
    call,
    { operation: "CREATE", name: target.name, object, oldObject: undefined, dryRun: options.dryRun, options },
    (admitted) =>
      handler(admitted, {
        user: call.user,
        namespace: target.namespace,
        name: target.name,
        signal: call.request.signal,
        warn: (text) => void call.warnings.push(text),
        annotate: (key, value) => void call.auditAnnotations.set(key, value),
      }),
  );
  await sendBytes(call, 201, encoding, encodeObject(encoding, answer, message));
}
