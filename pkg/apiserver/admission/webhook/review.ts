import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { Status } from "#pkg/api/types/meta-v1.ts";
import { decodeJson, isRecord, jsonKind, type KubeObject, StatusError } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { AdmissionAttributes } from "../../contract.ts";
import { assertAnswers, documentType, isNamed, unnamedReview, wrongReview } from "../../http/webhook-review.ts";
import type { MatchedResource } from "../rules.ts";
import { typedResponse, UnusableAnswerError } from "./response-types.ts";

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

const KNOWN_TYPES = new Set([
  "admission.k8s.io/v1, Kind=AdmissionReview",
  "admission.k8s.io/v1beta1, Kind=AdmissionReview",
  "v1, Kind=Status",
]);

/** Checks an answer. v1beta1 is lax: it names neither itself, nor the request, nor the type of its patch. @throws Error */
export function parseVerdict(
  uid: string,
  answer: Record<string, unknown>,
  mutating: boolean,
  version: ReviewVersion = "v1",
): Verdict {
  const [found, wanted] = [
    documentType(answer),
    { apiVersion: `admission.k8s.io/${version}`, kind: "AdmissionReview" },
  ];
  const why = wrongReview(found, wanted, KNOWN_TYPES);
  if (why !== undefined) throw new UnusableAnswerError(`failed to call webhook: ${why}`);
  const response = typedResponse(answer);
  if (response === undefined) throw new Error("webhook response was absent");
  const strict = version === "v1";
  if (strict) assertAnswers(uid, response);
  if (strict && !isNamed(found)) throw new Error(unnamedReview(found, wanted));
  return {
    allowed: response["allowed"] === true,
    result: (response["status"] ?? undefined) as Status | undefined,
    auditAnnotations: (response["auditAnnotations"] ?? {}) as Record<string, string>,
    warnings: (response["warnings"] ?? []) as string[],
    patch: patchOf(response, mutating, strict),
  };
}

function patchOf(response: Record<string, unknown>, mutating: boolean, strict: boolean): unknown[] | undefined {
  const encoded = (response["patch"] ?? "") as string;
  const bytes = fromBase64(encoded);
  const patchType = response["patchType"] ?? undefined;
  if (!mutating) {
    // v1beta1 lets a validating webhook say what it likes: nobody listens.
    if (strict && encoded !== "") throw new Error("validating webhook may not return response.patch");
    if (strict && patchType !== undefined) throw new Error("validating webhook may not return response.patchType");
    return undefined;
  }
  if (strict && encoded !== "" && patchType === undefined)
    throw new Error("webhook returned response.patch but not response.patchType");
  if (strict && encoded === "" && patchType !== undefined)
    throw new Error("webhook returned response.patchType but not response.patch");
  if (strict && patchType === "") throw new Error('webhook returned invalid response.patchType of ""');
  if (encoded === "") return undefined;
  const patch = decodePatch(bytes);
  if (strict && patch.length > 0 && patchType !== "JSONPatch")
    throw new UnusableAnswerError(`unsupported patch type ${JSON.stringify(patchType)}`);
  return patch;
}

function fromBase64(encoded: string): Buffer {
  const digits = encoded.replaceAll(/[\r\n]/g, "");
  const start = /^[A-Za-z0-9+/]*/.exec(digits)![0].length;
  const padding = (4 - (start % 4)) % 4;
  if (padding < 3 && digits.slice(start) === "=".repeat(padding)) return Buffer.from(digits, "base64");
  throw new UnusableAnswerError(`failed to call webhook: illegal base64 data at input byte ${start}`);
}

/** A JSON patch; null is one without operations. */
function decodePatch(bytes: Buffer): unknown[] {
  const fail = (why: string, cause?: unknown): UnusableAnswerError =>
    new UnusableAnswerError(`received undecodable patch in webhook response: ${why}`, { cause });
  let patch: unknown;
  try {
    patch = decodeJson(bytes, { duplicates: false }).value ?? [];
  } catch (cause) {
    throw fail(errorMessage(cause), cause);
  }
  const wrong = (value: unknown, type: string): UnusableAnswerError =>
    fail(`json: cannot unmarshal ${jsonKind(value)} into Go value of type jsonpatch.${type}`);
  if (!Array.isArray(patch)) throw wrong(patch, "Patch");
  for (const operation of patch) if (!isRecord(operation)) throw wrong(operation, "Operation");
  return patch;
}

/** The error a refusal becomes. It keeps the webhook's code and reason but never looks like a success. */
export function denial(webhook: string, result: Status | undefined): StatusError {
  const deniedBy = `admission webhook ${JSON.stringify(webhook)} denied the request`;
  const said = result?.message !== undefined && result.message !== "" ? result.message : result?.reason;
  const { kind: _kind, apiVersion: _apiVersion, ...rest } = (result ?? {}) as Status & KubeObject;
  return new StatusError({
    ...rest,
    status: "Failure",
    code: Math.max(result?.code ?? 0, 400),
    message: said === undefined || said === "" ? `${deniedBy} without explanation` : `${deniedBy}: ${said}`,
  });
}
