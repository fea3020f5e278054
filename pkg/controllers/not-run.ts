/** Controllers of upstream's list that --controllers may name and that never run here, as they do not by default there. */
export interface ControllerNotRun {
  readonly name: string;
  /** Former name, accepted too; "" when there is none. */
  readonly alias: string;
  readonly why: string;
}

const needsCloud = "belongs to a cloud provider's own controller manager";
const gateOff = (gate: string) => `the feature gate ${gate} is off by default in v1.36`;

export const NOT_RUN: readonly ControllerNotRun[] = [
  { name: "cloud-node-lifecycle-controller", alias: "cloud-node-lifecycle", why: needsCloud },
  { name: "node-route-controller", alias: "route", why: needsCloud },
  { name: "service-lb-controller", alias: "service", why: needsCloud },
  {
    name: "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    alias: "",
    why: gateOff("ClusterTrustBundle"),
  },
  { name: "podcertificaterequest-cleaner-controller", alias: "", why: gateOff("PodCertificateRequest") },
  { name: "resourcepoolstatusrequest-controller", alias: "", why: gateOff("DRAResourcePoolStatus") },
  {
    name: "storageversion-garbage-collector-controller",
    alias: "storage-version-gc",
    why: gateOff("StorageVersionAPI"),
  },
  {
    name: "selinux-warning-controller",
    alias: "",
    why: "off by default; it only warns of what SELinuxChangePolicy changes",
  },
];
