import { ageOf, UNSET } from "../printers/cells.ts";
import type {
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingWebhookConfiguration,
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhookConfiguration,
} from "../types/admissionregistration-v1.ts";

export function printWebhookConfiguration(
  configuration: Readonly<MutatingWebhookConfiguration | ValidatingWebhookConfiguration>,
  now: number,
): unknown[] {
  return [configuration.metadata.name, configuration.webhooks?.length ?? 0, ageOf(configuration, now)];
}

function paramKindCell(paramKind: ParamKind | undefined): string {
  return paramKind === undefined ? UNSET : `${paramKind.apiVersion ?? ""}/${paramKind.kind ?? ""}`;
}

function paramRefCell(ref: ParamRef | undefined): string {
  if (ref === undefined) return UNSET;
  const name = ref.name || "*";
  return ref.namespace ? `${ref.namespace}/${name}` : name;
}

export function printValidatingPolicy(policy: Readonly<ValidatingAdmissionPolicy>, now: number): unknown[] {
  const { validations, paramKind } = policy.spec ?? {};
  return [policy.metadata.name, validations?.length ?? 0, paramKindCell(paramKind), ageOf(policy, now)];
}

export function printMutatingPolicy(policy: Readonly<MutatingAdmissionPolicy>, now: number): unknown[] {
  const { mutations, paramKind } = policy.spec ?? {};
  return [policy.metadata.name, mutations?.length ?? 0, paramKindCell(paramKind), ageOf(policy, now)];
}

export function printPolicyBinding(
  binding: Readonly<ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding>,
  now: number,
): unknown[] {
  const { policyName, paramRef } = binding.spec ?? {};
  return [binding.metadata.name, policyName ?? "", paramRefCell(paramRef), ageOf(binding, now)];
}
