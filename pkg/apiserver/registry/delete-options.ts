import { checkFields, schemaOf } from "#pkg/api/index.ts";
import type { DeleteOptions } from "#pkg/api/types/meta-v1.ts";
import {
  badRequest,
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  invalid,
  isRecord,
} from "#pkg/apimachinery/index.ts";
import { isTrue } from "../http/target.ts";
import { decodeBody } from "./body.ts";
import type { Call } from "./call.ts";
import { parseDryRun, parseInteger } from "./options.ts";

const SCHEMA = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const POLICIES = ["Foreground", "Background", "Orphan"];

export interface DeleteRequest {
  readonly dryRun: boolean;
  readonly gracePeriodSeconds: number | undefined;
  readonly propagationPolicy: "Foreground" | "Background" | "Orphan" | undefined;
  readonly orphanDependents: boolean | undefined;
  readonly preconditions: { readonly uid?: string; readonly resourceVersion?: string };
  /** As webhooks get them. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** DeleteOptions from the body, or from the query when there is no body. @throws StatusError 400, 422 */
export async function readDeleteOptions(call: Call): Promise<DeleteRequest> {
  const bytes = await call.request.body();
  return deleteRequest(bytes.length > 0 ? fromBody(call, bytes) : fromQuery(call.target.query));
}

/** Options, checked. @throws StatusError 422 */
export function deleteRequest(raw: DeleteOptions): DeleteRequest {
  const errors: FieldError[] = [];
  const dryRun = parseDryRun(raw.dryRun ?? [], errors);
  const { propagationPolicy, orphanDependents } = raw;
  if (propagationPolicy !== undefined && orphanDependents !== undefined) {
    const both = "orphanDependents and deletionPropagation cannot be both set";
    errors.push(fieldInvalid("propagationPolicy", propagationPolicy, both));
  }
  if (propagationPolicy !== undefined && !POLICIES.includes(propagationPolicy)) {
    errors.push(fieldNotSupported("propagationPolicy", propagationPolicy, [...POLICIES, "nil"]));
  }
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "DeleteOptions" }, "", errors);
  return {
    dryRun,
    // A negative period has always meant "as short as possible", which is one second.
    gracePeriodSeconds:
      raw.gracePeriodSeconds === undefined || raw.gracePeriodSeconds === null
        ? undefined
        : raw.gracePeriodSeconds < 0
          ? 1
          : Number(raw.gracePeriodSeconds),
    propagationPolicy: propagationPolicy as DeleteRequest["propagationPolicy"],
    orphanDependents,
    preconditions: raw.preconditions ?? {},
    raw: { ...raw, kind: "DeleteOptions", apiVersion: "meta.k8s.io/v1" },
  };
}

function fromBody(call: Call, bytes: Buffer): DeleteOptions {
  const { value } = decodeBody(bytes, call.request.headers["content-type"], { custom: false });
  if (!isRecord(value)) throw badRequest("the body of a delete must be a DeleteOptions object");
  const kind = value["kind"];
  if (kind !== undefined && kind !== "" && kind !== "DeleteOptions") {
    throw badRequest(`decoded object cannot be converted to DeleteOptions: it is a ${String(kind)}`);
  }
  const { errors } = checkFields(schemaOf(SCHEMA), value);
  if (errors.length > 0)
    throw badRequest(`DeleteOptions in version "v1" cannot be handled as a DeleteOptions: ${errors[0]}`);
  // Nulls of a hand-written body mean nothing.
  for (const field of Object.keys(value)) if (value[field] === null) delete value[field];
  return value as DeleteOptions;
}

function fromQuery(query: URLSearchParams): DeleteOptions {
  if (query.size === 0) return {};
  const grace = parseInteger(query.get("gracePeriodSeconds"));
  const policy = query.get("propagationPolicy");
  const orphan = query.get("orphanDependents");
  const dryRun = query.getAll("dryRun");
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(policy === null || policy === "" ? {} : { propagationPolicy: policy }),
    ...(orphan === null ? {} : { orphanDependents: isTrue(orphan) }),
    ...(dryRun.length === 0 ? {} : { dryRun }),
  };
}
