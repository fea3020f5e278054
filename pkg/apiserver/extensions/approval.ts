import type { CustomResourceDefinition, CustomResourceDefinitionCondition } from "#pkg/api/types/apiextensions-v1.ts";
import { type FieldError, fieldInvalid, fieldRequired, goQuote } from "#pkg/apimachinery/index.ts";

const APPROVAL = "api-approved.kubernetes.io";
const SEE = "see https://github.com/kubernetes/enhancements/pull/1111";
const NEEDED = `protected groups must have approval annotation "${APPROVAL}"`;

type Approval = "missing" | "bypassed" | "approved" | "invalid";
const textOf = ({ metadata }: CustomResourceDefinition): string => metadata?.annotations?.[APPROVAL] ?? "";

function approvalOf(crd: CustomResourceDefinition): Approval {
  const text = textOf(crd);
  if (text === "") return "missing";
  if (text.startsWith("unapproved")) return "bypassed";
  return URL.canParse(text) && new URL(text).host !== "" ? "approved" : "invalid";
}

/** Groups of the community are not for everybody: whoever defines kinds there says who has approved them. */
const isProtected = ({ spec }: CustomResourceDefinition): boolean =>
  /(?:^|\.)(?:k8s|kubernetes)\.io$/.test(spec.group ?? "");

const INVALID = `${NEEDED} with either a URL or a reason starting with "unapproved", ${SEE}`;

export function approvalErrors(crd: CustomResourceDefinition, old: CustomResourceDefinition | undefined): FieldError[] {
  if (!isProtected(crd)) return [];
  const approval = approvalOf(crd);
  if (old !== undefined && approvalOf(old) === approval) return [];
  const path = `metadata.annotations[${APPROVAL}]`;
  if (approval === "missing") return [fieldRequired(path, `${NEEDED}, ${SEE}`)];
  return approval === "invalid" ? [fieldInvalid(path, textOf(crd), INVALID)] : [];
}

/** What the status of a definition in such a group says about its approval. */
export function approvalCondition(crd: CustomResourceDefinition): CustomResourceDefinitionCondition | undefined {
  if (!isProtected(crd)) return undefined;
  const condition = (status: "True" | "False", reason: string, message: string) => ({
    type: "KubernetesAPIApprovalPolicyConformant",
    status,
    reason,
    message,
  });
  switch (approvalOf(crd)) {
    case "missing":
      return condition("False", "MissingAnnotation", `${NEEDED}, ${SEE}`);
    case "bypassed":
      return condition("False", "UnapprovedAnnotation", `not approved: ${goQuote(textOf(crd))}`);
    case "approved":
      return condition("True", "ApprovedAnnotation", `approved in ${textOf(crd)}`);
    case "invalid":
      return condition("False", "InvalidAnnotation", INVALID);
  }
}
