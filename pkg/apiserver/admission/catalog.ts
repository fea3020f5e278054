import type { AdmissionGate } from "./gates.ts";

/** What is known of one admission plugin of Kubernetes v1.36. */
export interface CataloguedPlugin {
  readonly name: string;
  /** Works unless `--disable-admission-plugins` names it; the others work when `--enable-admission-plugins` does. */
  readonly on: boolean;
  /** Does nothing while this is off. */
  readonly gate?: AdmissionGate;
}

const plugin = (on: boolean, name: string, gate?: AdmissionGate): CataloguedPlugin => ({
  name,
  on,
  ...(gate === undefined ? {} : { gate }),
});
const ON = true;
const OFF = false;

/** All of upstream's plugins in the order in which they run, mutating passes first, then validating ones. */
export const CATALOG: readonly CataloguedPlugin[] = [
  plugin(OFF, "AlwaysAdmit"),
  plugin(OFF, "NamespaceAutoProvision"),
  plugin(ON, "NamespaceLifecycle"),
  plugin(OFF, "NamespaceExists"),
  plugin(OFF, "LimitPodHardAntiAffinityTopology"),
  plugin(ON, "LimitRanger"),
  plugin(ON, "ServiceAccount"),
  plugin(OFF, "NodeRestriction"),
  plugin(ON, "TaintNodesByCondition"),
  plugin(OFF, "AlwaysPullImages"),
  plugin(OFF, "ImagePolicyWebhook"),
  plugin(ON, "PodSecurity"),
  plugin(OFF, "PodNodeSelector"),
  plugin(ON, "Priority"),
  plugin(ON, "DefaultTolerationSeconds"),
  plugin(OFF, "PodTolerationRestriction"),
  plugin(OFF, "EventRateLimit"),
  plugin(OFF, "ExtendedResourceToleration"),
  plugin(ON, "DefaultStorageClass"),
  plugin(ON, "StorageObjectInUseProtection"),
  plugin(ON, "PodGroupProtection", "GenericWorkload"),
  plugin(OFF, "OwnerReferencesPermissionEnforcement"),
  plugin(ON, "PersistentVolumeClaimResize"),
  plugin(ON, "RuntimeClass"),
  plugin(ON, "CertificateApproval"),
  plugin(ON, "CertificateSigning"),
  plugin(ON, "ClusterTrustBundleAttest"),
  plugin(ON, "CertificateSubjectRestriction"),
  plugin(ON, "DefaultIngressClass"),
  plugin(OFF, "DenyServiceExternalIPs"),
  plugin(ON, "PodTopologyLabels", "PodTopologyLabelsAdmission"),
  plugin(ON, "PodGroupWorkloadExists", "GenericWorkload"),
  plugin(ON, "NodeDeclaredFeatureValidator", "NodeDeclaredFeatures"),
  plugin(ON, "JobValidation", "WorkloadWithJob"),
  plugin(ON, "PodResizeValidator", "InPlacePodVerticalScaling"),
  plugin(ON, "MutatingAdmissionPolicy", "MutatingAdmissionPolicy"),
  plugin(ON, "MutatingAdmissionWebhook"),
  plugin(ON, "ValidatingAdmissionPolicy"),
  plugin(ON, "ValidatingAdmissionWebhook"),
  plugin(ON, "ResourceQuota"),
  plugin(OFF, "AlwaysDeny"),
];
