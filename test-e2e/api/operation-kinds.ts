/** Kinds whose API is all there is to test: what a test makes objects of each from. */
export interface OperationKind {
  readonly group: string;
  readonly plural: string;
  readonly namespaced?: boolean;
  /** An object's fields beside its metadata. */
  readonly fields: (namespace: string) => Promise<object> | object;
  /** Subresources that take get, put and patch: a patch for each. */
  readonly subresources?: Readonly<Record<string, object>>;
  /** The name of an object from the test's; the same unless given. */
  readonly nameOf?: (name: string) => string;
}

const driver = "e2e.example.com";
const container = { name: "c", image: "registry.k8s.io/pause:3.10" };
const condition = {
  type: "E2E",
  status: "True",
  reason: "Test",
  message: "m",
  lastTransitionTime: "2024-01-01T00:00:00Z",
};
const backend = { service: { name: "s", port: { number: 80 } } };
const device = { requests: [{ name: "r", exactly: { deviceClassName: "c" } }] };
const storage = { requests: { storage: "1Gi" } };
let network = 0;

const flowcontrol = "flowcontrol.apiserver.k8s.io";
const networking = "networking.k8s.io";
const volumes = "storage.k8s.io";
const resources = "resource.k8s.io";

export const apiOnlyKinds: readonly OperationKind[] = [
  {
    group: flowcontrol,
    plural: "flowschemas",
    fields: () => ({
      spec: {
        matchingPrecedence: 10_000,
        priorityLevelConfiguration: { name: "global-default" },
        rules: [
          {
            subjects: [{ kind: "User", user: { name: "e2e" } }],
            nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
          },
        ],
      },
    }),
    subresources: { status: { status: { conditions: [condition] } } },
  },
  {
    group: flowcontrol,
    plural: "prioritylevelconfigurations",
    fields: () => ({
      spec: { type: "Limited", limited: { nominalConcurrencyShares: 2, limitResponse: { type: "Reject" } } },
    }),
    subresources: { status: { status: { conditions: [condition] } } },
  },
  {
    group: "coordination.k8s.io",
    plural: "leases",
    namespaced: true,
    fields: () => ({
      spec: { holderIdentity: "h", leaseDurationSeconds: 30, renewTime: "2024-01-01T00:00:00.000001Z" },
    }),
  },
  {
    group: "",
    plural: "podtemplates",
    namespaced: true,
    fields: () => ({ template: { metadata: { labels: { a: "b" } }, spec: { containers: [container] } } }),
  },
  {
    group: "",
    plural: "configmaps",
    namespaced: true,
    fields: () => ({ data: { a: "b" }, binaryData: { b: "//4=" } }),
  },
  { group: "", plural: "secrets", namespaced: true, fields: () => ({ data: { a: "Yg==" }, type: "Opaque" }) },
  {
    group: "",
    plural: "endpoints",
    namespaced: true,
    fields: () => ({ subsets: [{ addresses: [{ ip: "10.0.0.24" }], ports: [{ name: "http", port: 80 }] }] }),
  },
  {
    group: "",
    plural: "events",
    namespaced: true,
    fields: (namespace) => ({ message: "a test", reason: "Test", type: "Normal", involvedObject: { namespace } }),
  },
  {
    group: "",
    plural: "persistentvolumes",
    fields: () => ({
      spec: {
        storageClassName: "none",
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteOnce"],
        csi: { driver, volumeHandle: "h" },
      },
    }),
    subresources: { status: { status: { message: "patched", reason: "E2E" } } },
  },
  {
    group: "",
    plural: "persistentvolumeclaims",
    namespaced: true,
    fields: () => ({ spec: { storageClassName: "", accessModes: ["ReadWriteOnce"], resources: storage } }),
    subresources: { status: { status: { conditions: [condition] } } },
  },
  {
    group: "discovery.k8s.io",
    plural: "endpointslices",
    namespaced: true,
    fields: () => ({
      addressType: "IPv4",
      endpoints: [{ addresses: ["10.0.0.1"], conditions: { ready: true } }],
      ports: [],
    }),
  },
  {
    group: networking,
    plural: "ingresses",
    namespaced: true,
    fields: () => ({
      spec: { rules: [{ host: "a.example.com", http: { paths: [{ path: "/", pathType: "Prefix", backend }] } }] },
    }),
    subresources: { status: { status: { loadBalancer: { ingress: [{ ip: "169.1.1.1" }] } } } },
  },
  { group: networking, plural: "ingressclasses", fields: () => ({ spec: { controller: "example.com/controller" } }) },
  {
    group: networking,
    plural: "servicecidrs",
    fields: () => ({ spec: { cidrs: [`10.203.${network++}.0/24`] } }),
    subresources: { status: { status: { conditions: [condition] } } },
  },
  {
    group: networking,
    plural: "ipaddresses",
    fields: () => ({ spec: { parentRef: { resource: "services", name: "s", namespace: "default" } } }),
    nameOf: (name) => `192.168.7.${name.charCodeAt(0)}`,
  },
  {
    group: "node.k8s.io",
    plural: "runtimeclasses",
    fields: () => ({ handler: "h", overhead: { podFixed: { cpu: "1m" } } }),
  },
  {
    group: "apps",
    plural: "controllerrevisions",
    namespaced: true,
    fields: () => ({ revision: 2, data: { spec: { template: { $patch: "replace" } } } }),
  },
  {
    group: volumes,
    plural: "csidrivers",
    fields: () => ({ spec: { attachRequired: false, volumeLifecycleModes: ["Ephemeral"] } }),
  },
  {
    group: volumes,
    plural: "csinodes",
    fields: () => ({ spec: { drivers: [{ name: "d", nodeID: "i", topologyKeys: ["k"] }] } }),
  },
  {
    group: volumes,
    plural: "csistoragecapacities",
    namespaced: true,
    fields: () => ({ storageClassName: "c", capacity: "1Gi", nodeTopology: { matchLabels: { a: "b" } } }),
  },
  { group: volumes, plural: "storageclasses", fields: () => ({ provisioner: driver, volumeBindingMode: "Immediate" }) },
  {
    group: volumes,
    plural: "volumeattachments",
    fields: () => ({ spec: { attacher: driver, nodeName: "node-x", source: { persistentVolumeName: "p" } } }),
    subresources: { status: { status: { attached: true } } },
  },
  { group: volumes, plural: "volumeattributesclasses", fields: () => ({ driverName: driver, parameters: { a: "b" } }) },
  {
    group: resources,
    plural: "deviceclasses",
    fields: () => ({ spec: { selectors: [{ cel: { expression: 'device.driver == "x"' } }] } }),
  },
  {
    group: resources,
    plural: "resourceclaims",
    namespaced: true,
    fields: () => ({ spec: { devices: device } }),
    subresources: {
      status: {
        status: { allocation: { devices: { results: [{ request: "r", driver, pool: "p", device: "d" }] } } },
      },
    },
  },
  {
    group: resources,
    plural: "resourceclaimtemplates",
    namespaced: true,
    fields: () => ({ spec: { spec: { devices: device } } }),
  },
  {
    group: resources,
    plural: "resourceslices",
    fields: () => ({
      spec: { driver, nodeName: "w", pool: { name: "p", resourceSliceCount: 1 }, devices: [{ name: "d" }] },
    }),
  },
];
