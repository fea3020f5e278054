import { hostname } from "node:os";
import { BlockList } from "node:net";
import { type ClusterPki, ensureClusterPki, issueCertificate, readIfPresent, writeKubeconfig } from "#pkg/pki/index.ts";
import { UsageError } from "#pkg/config/index.ts";
import { join } from "node:path";
import { errorMessage } from "#pkg/util/index.ts";

/** First usable address of a service range: the address of default/kubernetes. */
export function firstServiceAddress(cidr: string): string {
  const [base = "", bits = ""] = cidr.split("/");
  const list = new BlockList();
  const ipv6 = base.includes(":");
  try {
    list.addSubnet(base, Number(bits), ipv6 ? "ipv6" : "ipv4");
  } catch (error) {
    throw new UsageError(`--service-cluster-ip-range: ${cidr} is not a CIDR (${errorMessage(error)})`);
  }
  if (ipv6) return base.endsWith("::") ? `${base}1` : base;
  const number = base.split(".").reduce((sum, part) => sum * 256 + Number(part), 0) + 1;
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}

export interface PkiRequest {
  readonly dir: string;
  readonly advertiseAddress: string;
  readonly serviceRanges: readonly string[];
  readonly extraSans: readonly string[];
  readonly now: number;
}

/** The cluster's certificates, made on first start and renewed when they no longer fit. */
export function ensurePki({ dir, advertiseAddress, serviceRanges, extraSans, now }: PkiRequest): Promise<ClusterPki> {
  const names = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    hostname(),
  ];
  const addresses = ["127.0.0.1", "::1", advertiseAddress, ...serviceRanges.map(firstServiceAddress)];
  return ensureClusterPki({ dir, apiserverSans: [...new Set([...names, ...addresses, ...extraSans])], now });
}

export interface KubeconfigRequest {
  readonly certDir: string;
  readonly server: string;
  readonly user: string;
  readonly groups: readonly string[];
  readonly out: string;
  readonly now: number;
}

/** Issues a client certificate from the CA in `certDir` and writes it as a kubeconfig (0600). */
export async function writeUserKubeconfig(request: KubeconfigRequest): Promise<void> {
  const [cert, key] = await Promise.all(["ca.crt", "ca.key"].map((file) => readIfPresent(join(request.certDir, file))));
  if (cert === undefined || key === undefined) {
    throw new UsageError(`there is no CA in ${request.certDir}; start kubits-master once, or name its --cert-dir`);
  }
  const issued = await issueCertificate(
    { cert, key },
    {
      commonName: request.user,
      organizations: [...request.groups],
      usages: ["client"],
      validityDays: 365,
      now: request.now,
    },
  );
  await writeKubeconfig({ path: request.out, server: request.server, ca: cert, ...issued, user: request.user });
}
