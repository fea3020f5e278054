import { formatTime } from "#pkg/util/index.ts";
import { defineResource, type KindDeclaration } from "../define.ts";
import type { CertificateSigningRequest } from "../types/certificates-v1.ts";
import type { ClusterTrustBundle, PodCertificateRequest } from "../types/certificates-v1beta1.ts";
import { validateRequired } from "../validation/required.ts";
import { printCertificateSigningRequest, printClusterTrustBundle, printPodCertificateRequest } from "./print.ts";
import { validateCertificateSigningRequest, validateRequestApproval, validateRequestStatus } from "./validation.ts";

const group = "certificates.k8s.io";

/** Conditions tell when they came, also where the client did not. */
function stampConditions(request: CertificateSigningRequest, now: number): void {
  for (const condition of request.status?.conditions ?? []) {
    condition.lastUpdateTime ??= formatTime(now);
    condition.lastTransitionTime ??= formatTime(now);
  }
}

export const certificateSigningRequest = defineResource<CertificateSigningRequest>({
  group,
  version: "v1",
  kind: "CertificateSigningRequest",
  printRow: printCertificateSigningRequest,
  strategy: {
    generation: false,
    prepareForCreate({ spec }, { user }) {
      if (spec === undefined) return;
      // Who asks is what the signer judges, so the client cannot say it.
      spec.username = user.name;
      delete spec.uid;
      if (user.uid !== undefined) spec.uid = user.uid;
      spec.groups = [...user.groups];
      delete spec.extra;
      if (user.extra !== undefined && Object.keys(user.extra).length > 0) {
        spec.extra = Object.fromEntries(Object.entries(user.extra).map(([key, values]) => [key, [...values]]));
      }
    },
    prepareForUpdate(request, old) {
      request.spec = old.spec;
      request.status = old.status;
    },
    validate: validateCertificateSigningRequest,
    validateUpdate: () => [],
  },
  status: {
    prepareForUpdate: (request, _old, { now }) => stampConditions(request, now),
    validateUpdate: validateRequestStatus,
  },
  updates: {
    approval: {
      prepareForUpdate(request, old, { now }) {
        request.spec = old.spec;
        // Approval changes conditions and nothing else; a Failed condition belongs to the signer.
        request.status = { ...old.status, conditions: request.status?.conditions };
        stampConditions(request, now);
      },
      validateUpdate: validateRequestApproval,
    },
  },
});

export const clusterTrustBundles: readonly KindDeclaration[] = ["v1beta1", "v1alpha1"].map((version) =>
  defineResource<ClusterTrustBundle>({
    group,
    version,
    kind: "ClusterTrustBundle",
    printRow: printClusterTrustBundle,
    strategy: {
      validate: ({ spec }) => validateRequired("io.k8s.api.certificates.v1beta1.ClusterTrustBundleSpec", spec, "spec"),
    },
  }),
);
export const podCertificateRequest = defineResource<PodCertificateRequest>({
  group,
  version: "v1beta1",
  kind: "PodCertificateRequest",
  printRow: printPodCertificateRequest,
  strategy: {
    generation: false,
    validate: ({ spec }) => validateRequired("io.k8s.api.certificates.v1beta1.PodCertificateRequestSpec", spec, "spec"),
  },
});
