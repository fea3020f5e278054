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
import { noObject, untyped } from "../http/document-type.ts";
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
  const { propagationPolicy, orphanDependents } = raw;
  if (propagationPolicy !== undefined && orphanDependents !== undefined) {
    const both = "orphanDependents and deletionPropagation cannot be both set";
    errors.push(fieldInvalid("propagationPolicy", propagationPolicy, both));
  }
  if (propagationPolicy !== undefined && !POLICIES.includes(propagationPolicy)) {
    errors.push(fieldNotSupported("propagationPolicy", propagationPolicy, [...POLICIES, "nil"]));
  }
  const dryRun = parseDryRun(raw.dryRun ?? [], errors);
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
    raw: { ...raw, kind: "DeleteOptions", apiVersion: META_VERSION },
  };
}

function fromBody(call: Call, bytes: Buffer): DeleteOptions {
  const { value: decoded } = decodeBody(bytes, call.request.headers["content-type"], OPTIONS, badRequest);
  const value = decoded ?? {};
  const why = isRecord(value) ? wrongKind(value) : noObject(value);
  if (why !== undefined) throw badRequest(why);
  const [first] = checkFields(schemaOf(SCHEMA), value).errors;
  if (first !== undefined) throw badRequest(first);
  const options = value as Record<string, unknown>;
  // Nulls of a hand-written body mean nothing.
  for (const field of Object.keys(options)) if (options[field] === null) delete options[field];
  return options as DeleteOptions;
}

const META_VERSION = "meta.k8s.io/v1";
/** A body in protobuf may leave its type out. */
const OPTIONS = { custom: false };
/** Kinds that upstream knows where it reads options: in any group, and in that of metadata alone. */
const EVERYWHERE = new Set(["Status", "CreateOptions", "GetOptions", "PatchOptions", "UpdateOptions"]);
const OF_METADATA = new Set(["ListOptions", "WatchEvent", "Table", "TableOptions", "PartialObjectMetadata"]);
const SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27";

/** What is said of a body that names another kind than DeleteOptions, whose group may be any. */
function wrongKind(value: Record<string, unknown>): string | undefined {
  const notText = untyped(value);
  if (notText !== undefined) return notText;
  const { apiVersion, kind } = {
    apiVersion: String(value["apiVersion"] || META_VERSION),
    kind: String(value["kind"] || "DeleteOptions"),
  };
  if (apiVersion.split("/").length > 2) return `unexpected GroupVersion string: ${apiVersion}`;
  if (kind === "DeleteOptions") return undefined;
  const known = EVERYWHERE.has(kind) || (apiVersion === META_VERSION && OF_METADATA.has(kind));
  return known
    ? `converting (v1.${kind}) to (v1.DeleteOptions): unknown conversion`
    : `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)} in scheme "${SCHEME}"`;
}

function fromQuery(query: URLSearchParams): DeleteOptions {
  if (query.size === 0) return {};
  const grace = parseInteger(query.get("gracePeriodSeconds"));
  const policy = query.get("propagationPolicy");
  const orphan = query.get("orphanDependents");
  const dryRun = query.getAll("dryRun");
  const [uid, resourceVersion] = [query.get("uid") ?? "", query.get("resourceVersion") ?? ""];
  const preconditions = { ...(uid === "" ? {} : { uid }), ...(resourceVersion === "" ? {} : { resourceVersion }) };
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(policy === null ? {} : { propagationPolicy: policy }),
    ...(orphan === null ? {} : { orphanDependents: isTrue(orphan) }),
    ...(dryRun.length === 0 ? {} : { dryRun }),
    ...(uid === "" && resourceVersion === "" ? {} : { preconditions }),
  };
}
