/** What metrics call a controller's work queue, where that is not the controller's name: dashboards and alerts go by it. */
const QUEUE_NAMES: ReadonlyMap<string, string> = new Map([
  ["bootstrap-signer-controller", "bootstrap_signer_queue"],
  ["certificatesigningrequest-approving-controller", "certificate"],
  ["clusterrole-aggregation-controller", "ClusterRoleAggregator"],
  ["cronjob-controller", "cronjob"],
  ["daemonset-controller", "daemonset"],
  ["deployment-controller", "deployment"],
  ["disruption-controller", "disruption"],
  ["endpoints-controller", "endpoint"],
  ["endpointslice-controller", "endpoint_slice"],
  ["endpointslice-mirroring-controller", "endpoint_slice_mirroring"],
  ["ephemeral-volume-controller", "ephemeral_volume"],
  ["garbage-collector-controller", "garbage_collector_attempt_to_delete"],
  ["horizontal-pod-autoscaler-controller", "horizontalpodautoscaler"],
  ["job-controller", "job"],
  ["namespace-controller", "namespace"],
  ["node-lifecycle-controller", "node_lifecycle_controller"],
  ["persistentvolume-binder-controller", "claims"],
  ["persistentvolume-expander-controller", "volume_expand"],
  ["persistentvolume-protection-controller", "pvprotection"],
  ["persistentvolumeclaim-protection-controller", "pvcprotection"],
  ["pod-garbage-collector-controller", "orphaned_pods_nodes"],
  ["replicaset-controller", "replicaset"],
  ["replicationcontroller-controller", "replicationmanager"],
  ["resourceclaim-controller", "resource_claim"],
  ["resourcequota-controller", "resourcequota_primary"],
  ["root-ca-certificate-publisher-controller", "root_ca_cert_publisher"],
  ["service-cidr-controller", "servicecidrs"],
  ["serviceaccount-controller", "serviceaccount"],
  ["serviceaccount-token-controller", "serviceaccount_tokens_service"],
  ["statefulset-controller", "statefulset"],
  ["taint-eviction-controller", "noexec_taint_pod"],
  ["token-cleaner-controller", "token_cleaner"],
  ["ttl-after-finished-controller", "ttl_jobs_to_delete"],
  ["ttl-controller", "ttlcontroller"],
]);

/** The `name` of a controller's queue in metrics. */
export function queueNameOf(controller: string): string {
  return QUEUE_NAMES.get(controller) ?? controller;
}
