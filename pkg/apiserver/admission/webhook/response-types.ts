import { isRecord, jsonKind } from "#pkg/apimachinery/index.ts";

/** An answer that cannot be used, told in other words than those for one that breaks the rules. */
export class UnusableAnswerError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "UnusableAnswerError";
  }
}

interface FieldType {
  readonly kind: "string" | "bool" | "number" | "object" | "array";
  readonly goType: string;
  /** What the items of a list or the values of a map are. */
  readonly items?: FieldType;
}
const text = (goType = "string"): FieldType => ({ kind: "string", goType });

const RESPONSE: Readonly<Record<string, FieldType>> = {
  uid: text("types.UID"),
  allowed: { kind: "bool", goType: "bool" },
  status: { kind: "object", goType: "v1.Status" },
  patch: text("[]uint8"),
  patchType: text("v1.PatchType"),
  auditAnnotations: { kind: "object", goType: "map[string]string", items: text() },
  warnings: { kind: "array", goType: "[]string", items: text() },
};
const STATUS: Readonly<Record<string, FieldType>> = {
  kind: text(),
  apiVersion: text(),
  metadata: { kind: "object", goType: "v1.ListMeta" },
  status: text(),
  message: text(),
  reason: text("v1.StatusReason"),
  details: { kind: "object", goType: "v1.StatusDetails" },
  code: { kind: "number", goType: "int32" },
};

/** The response in an AdmissionReview, its fields of their types. @throws UnusableAnswerError in Go's words */
export function typedResponse(review: Record<string, unknown>): Record<string, unknown> | undefined {
  const response = review["response"] ?? undefined;
  if (response === undefined) return undefined;
  if (!isRecord(response)) throw wrongType(response, "AdmissionReview.response", "v1.AdmissionResponse");
  assertTypes(response, RESPONSE, "AdmissionResponse.response");
  if (isRecord(response["status"])) assertTypes(response["status"], STATUS, "Status.response.status");
  return response;
}

function assertTypes(value: Record<string, unknown>, types: Readonly<Record<string, FieldType>>, path: string): void {
  for (const [field, type] of Object.entries(types)) assertType(value[field], type, `${path}.${field}`);
}

function assertType(value: unknown, { kind, goType, items }: FieldType, path: string): void {
  if (value === undefined || value === null) return;
  if (jsonKind(value) !== kind) throw wrongType(value, path, goType);
  if (items !== undefined) for (const item of Object.values(value)) assertType(item, items, path);
}

function wrongType(value: unknown, path: string, goType: string): UnusableAnswerError {
  const why = `json: cannot unmarshal ${jsonKind(value)} into Go struct field ${path} of type ${goType}`;
  return new UnusableAnswerError(`failed to call webhook: ${why}`);
}
