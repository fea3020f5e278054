import { defineResource, type KindDeclaration } from "../define.ts";
import { ALL_METADATA } from "../resource.ts";
import type {
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingWebhookConfiguration,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhookConfiguration,
} from "../types/admissionregistration-v1.ts";
import { printMutatingPolicy, printPolicyBinding, printValidatingPolicy, printWebhookConfiguration } from "./print.ts";
import {
  validateMutatingBinding,
  validateMutatingPolicy,
  validateValidatingBinding,
  validateValidatingPolicy,
  validateWebhookConfiguration,
} from "./validation.ts";

const group = "admissionregistration.k8s.io";

export const mutatingWebhookConfiguration = defineResource<MutatingWebhookConfiguration>({
  group,
  version: "v1",
  kind: "MutatingWebhookConfiguration",
  printRow: printWebhookConfiguration,
  strategy: { generation: true, allowUnconditionalUpdate: false, validate: validateWebhookConfiguration },
});
export const validatingWebhookConfiguration = defineResource<ValidatingWebhookConfiguration>({
  group,
  version: "v1",
  kind: "ValidatingWebhookConfiguration",
  printRow: printWebhookConfiguration,
  strategy: { generation: true, allowUnconditionalUpdate: false, validate: validateWebhookConfiguration },
});
export const validatingAdmissionPolicy = defineResource<ValidatingAdmissionPolicy>({
  group,
  version: "v1",
  kind: "ValidatingAdmissionPolicy",
  printRow: printValidatingPolicy,
  strategy: { allowUnconditionalUpdate: false, validate: validateValidatingPolicy },
  status: { resetMetadata: ALL_METADATA },
});
export const validatingAdmissionPolicyBinding = defineResource<ValidatingAdmissionPolicyBinding>({
  group,
  version: "v1",
  kind: "ValidatingAdmissionPolicyBinding",
  printRow: printPolicyBinding,
  strategy: { generation: true, allowUnconditionalUpdate: false, validate: validateValidatingBinding },
});

/** The alpha, beta and stable versions have the same fields. */
const VERSIONS = ["v1", "v1beta1", "v1alpha1"] as const;

export const mutatingPolicies: readonly KindDeclaration[] = VERSIONS.flatMap((version) => [
  defineResource<MutatingAdmissionPolicy>({
    group,
    version,
    kind: "MutatingAdmissionPolicy",
    printRow: printMutatingPolicy,
    strategy: {
      allowUnconditionalUpdate: false,
      generation: true,
      defaults({ spec }) {
        if (spec !== undefined) spec.reinvocationPolicy ||= "Never";
      },
      validate: validateMutatingPolicy,
    },
  }),
  defineResource<MutatingAdmissionPolicyBinding>({
    group,
    version,
    kind: "MutatingAdmissionPolicyBinding",
    printRow: printPolicyBinding,
    strategy: { generation: true, allowUnconditionalUpdate: false, validate: validateMutatingBinding },
  }),
]);
