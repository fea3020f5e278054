import { defineResource, type KindDeclaration } from "../define.ts";
import { validateLease } from "../policy/validation.ts";
import { validateRequired } from "../validation/required.ts";
import { printLease, printLeaseCandidate } from "../printers/small.ts";
import type { Lease } from "../types/coordination-v1.ts";
import type { LeaseCandidate } from "../types/coordination-v1beta1.ts";

const group = "coordination.k8s.io";

export const lease = defineResource<Lease>({
  group,
  version: "v1",
  kind: "Lease",
  printRow: printLease,
  strategy: { allowCreateOnUpdate: true, allowUnconditionalUpdate: false, validate: validateLease },
});
export const leaseCandidates: readonly KindDeclaration[] = ["v1beta1", "v1alpha2"].map((version) =>
  defineResource<LeaseCandidate>({
    group,
    version,
    kind: "LeaseCandidate",
    printRow: printLeaseCandidate,
    strategy: {
      validate: ({ spec }) => validateRequired("io.k8s.api.coordination.v1beta1.LeaseCandidateSpec", spec, "spec"),
    },
  }),
);
