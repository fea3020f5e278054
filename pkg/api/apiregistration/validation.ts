import { goQuote, isDns1035Label, isValidPortNumber } from "#pkg/apimachinery/index.ts";
import type { APIService } from "../types/apiregistration-v1.ts";
import { dnsSubdomain, type FieldError, invalid, isEmpty, required } from "../validation/rules.ts";

function validatePriorities({ spec = { groupPriorityMinimum: 0, versionPriority: 0 } }: APIService): FieldError[] {
  const errors: FieldError[] = [];
  const group = spec.groupPriorityMinimum ?? 0;
  if (group <= 0 || group > 20_000) {
    errors.push(invalid("spec.groupPriorityMinimum", group, "must be positive and less than 20000"));
  }
  const version = spec.versionPriority ?? 0;
  if (version <= 0 || version > 1000)
    errors.push(invalid("spec.versionPriority", version, "must be positive and less than 1000"));
  return errors;
}

export function validateAPIService(service: APIService): FieldError[] {
  const { group = "", version = "", service: backend, caBundle, insecureSkipTLSVerify } = service.spec ?? {};
  const errors: FieldError[] = [];
  const wanted = `${version}.${group}`;
  if (!isEmpty(service.metadata.name) && service.metadata.name !== wanted) {
    errors.push(
      invalid("metadata.name", service.metadata.name, `must be \`spec.version+"."+spec.group\`: ${goQuote(wanted)}`),
    );
  }
  if (group === "") {
    if (version !== "v1")
      errors.push(required("spec.group", "only v1 may have an empty group and it better be legacy kube"));
  } else errors.push(...dnsSubdomain(group, "spec.group"));
  for (const message of isDns1035Label(version)) errors.push(invalid("spec.version", version, message));
  errors.push(...validatePriorities(service));
  if (backend === undefined) {
    if (!isEmpty(caBundle)) {
      const size = `${Buffer.byteLength(caBundle!, "base64")} bytes`;
      errors.push(invalid("spec.caBundle", size, "local APIServices may not have a caBundle"));
    }
    if (insecureSkipTLSVerify === true) {
      errors.push(invalid("spec.insecureSkipTLSVerify", true, "local APIServices may not have insecureSkipTLSVerify"));
    }
    return errors;
  }
  if (isEmpty(backend.namespace)) errors.push(required("spec.service.namespace"));
  if (isEmpty(backend.name)) errors.push(required("spec.service.name"));
  for (const message of backend.port === undefined ? [] : isValidPortNumber(backend.port)) {
    errors.push(invalid("spec.service.port", backend.port, `port is not valid: ${message}`));
  }
  if (insecureSkipTLSVerify === true && !isEmpty(caBundle)) {
    errors.push(invalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present"));
  }
  return errors;
}
