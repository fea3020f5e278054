import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { Status } from "#pkg/api/types/meta-v1.ts";
import { type KubeObject, parseJson, StatusError } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes } from "../../contract.ts";
import type { MatchedResource } from "../rules.ts";

/** Versions of AdmissionReview this server speaks; a webhook gets the first of its list that is among them. */
export type ReviewVersion = "v1" | "v1beta1";

/** The version to speak with a webhook; undefined when it knows none of ours. */
export function reviewVersion(versions: readonly string[]): ReviewVersion | undefined {
  return versions.find((version): version is ReviewVersion => version === "v1" || version === "v1beta1");
}

/** What a webhook answered, checked. */
export interface Verdict {
  readonly allowed: boolean;
  readonly result: Status | undefined;
  /** Decoded JSON patch (RFC 6902), for mutating webhooks. */
  readonly patch: unknown[] | undefined;
  readonly auditAnnotations: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
}

/** The objects as the webhook wants to see them: in the version its rule matched. */
export interface Versioned {
  readonly matched: MatchedResource;
  readonly object: Readonly<KubeObject> | undefined;
  readonly oldObject: Readonly<KubeObject> | undefined;
}

function kindOf(definition: ResourceDefinition, subresource: string, object: Readonly<KubeObject> | undefined) {
  const sub = subresource === "" ? undefined : definition.subresources.find(({ name }) => name === subresource);
  if (sub !== undefined && sub.kind !== definition.kind) {
    // Connect options say themselves what they are.
    const group = sub.group ?? definition.group;
    return { group, version: sub.version ?? definition.version, kind: object?.kind ?? sub.kind };
  }
  return { group: definition.group, version: definition.version, kind: definition.kind };
}

function resourceOf({ group, version, plural }: ResourceDefinition) {
  return { group, version, resource: plural };
}

/** The AdmissionReview request for one webhook. */
export function buildReview(
  uid: string,
  attributes: AdmissionAttributes,
  versioned: Versioned,
  version: ReviewVersion = "v1",
): object {
  const { user, namespace, name, operation, dryRun, options, resource, subresource } = attributes;
  const { matched } = versioned;
  return {
    kind: "AdmissionReview",
    apiVersion: `admission.k8s.io/${version}`,
    request: {
      uid,
      kind: kindOf(matched.definition, matched.subresource, versioned.object),
      resource: resourceOf(matched.definition),
      ...(matched.subresource === "" ? {} : { subResource: matched.subresource }),
      requestKind: kindOf(resource, subresource, attributes.object),
      requestResource: resourceOf(resource),
      ...(subresource === "" ? {} : { requestSubResource: subresource }),
      ...(name === "" ? {} : { name }),
      ...(namespace === "" ? {} : { namespace }),
      operation,
      userInfo: {
        username: user.name,
        ...(user.uid === undefined ? {} : { uid: user.uid }),
        groups: user.groups,
        ...(user.extra === undefined ? {} : { extra: user.extra }),
      },
      object: versioned.object ?? null,
      oldObject: versioned.oldObject ?? null,
      dryRun,
      options: Object.keys(options).length === 0 ? null : options,
    },
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Checks an answer. v1beta1 is lax: it names neither itself, nor the request, nor the type of its patch. @throws Error */
export function parseVerdict(uid: string, answer: unknown, mutating: boolean, version: ReviewVersion = "v1"): Verdict {
  if (!isRecord(answer)) throw new Error("the response is not an object");
  const strict = version === "v1";
  const wanted = `admission.k8s.io/${version}`;
  const { apiVersion, kind, response } = answer;
  const unnamed = !strict && apiVersion === undefined && kind === undefined;
  if (!unnamed && (apiVersion !== wanted || kind !== "AdmissionReview")) {
    const shown = `${String(apiVersion ?? "")}, Kind=${String(kind ?? "")}`;
    throw new Error(`expected webhook response of ${wanted}, Kind=AdmissionReview, got ${shown}`);
  }
  if (!isRecord(response)) throw new Error("webhook response was absent");
  if (strict && response["uid"] !== uid) {
    throw new Error(
      `expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(String(response["uid"] ?? ""))}`,
    );
  }
  const { auditAnnotations, warnings, status } = response;
  return {
    allowed: response["allowed"] === true,
    result: isRecord(status) ? (status as Status) : undefined,
    auditAnnotations: (isRecord(auditAnnotations) ? auditAnnotations : {}) as Record<string, string>,
    warnings: Array.isArray(warnings) ? warnings.filter((warning) => typeof warning === "string") : [],
    patch: patchOf(response, mutating, strict),
  };
}

function patchOf(response: Record<string, unknown>, mutating: boolean, strict: boolean): unknown[] | undefined {
  const encoded = response["patch"] ?? "";
  const patchType = response["patchType"] ?? undefined;
  if (!mutating) {
    // v1beta1 lets a validating webhook say what it likes: nobody listens.
    if (strict && encoded !== "") throw new Error("validating webhook may not return response.patch");
    if (strict && patchType !== undefined) throw new Error("validating webhook may not return response.patchType");
    return undefined;
  }
  if (typeof encoded !== "string") throw new Error("response.patch is not a string");
  if (encoded === "") {
    if (strict && patchType !== undefined)
      throw new Error("webhook returned response.patchType but not response.patch");
    return undefined;
  }
  if (strict && patchType === undefined) throw new Error("webhook returned response.patch but not response.patchType");
  if (patchType !== undefined && patchType !== "JSONPatch")
    throw new Error(`webhook returned invalid response.patchType of ${JSON.stringify(patchType)}`);
  const patch: unknown = parseJson(Buffer.from(encoded, "base64").toString("utf8"));
  if (!Array.isArray(patch)) throw new Error("the patch is not a JSON patch");
  return patch;
}

/** The error a refusal becomes. It keeps the webhook's code and reason but never looks like a success. */
export function denial(webhook: string, result: Status | undefined): StatusError {
  const deniedBy = `admission webhook ${JSON.stringify(webhook)} denied the request`;
  const said = result?.message !== undefined && result.message !== "" ? result.message : result?.reason;
  return new StatusError({
    ...result,
    status: "Failure",
    code: Math.max(result?.code ?? 0, 400),
    message: said === undefined || said === "" ? `${deniedBy} without explanation` : `${deniedBy}: ${said}`,
  });
}
