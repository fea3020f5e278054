import { dirname, join } from "node:path";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import type { TestCluster } from "./lab.ts";

/** Libraries only: Node.js and the scripts are mounted from this machine, where all nodes of a lab are. */
const IMAGE = "kubits/runtime:1.0";
const PORT = 8443;

export interface PodServerOptions {
  readonly name: string;
  /** A file of ./servers, started with the paths of its certificate and key and its port. */
  readonly script: string;
  readonly args?: readonly string[];
  readonly serviceAccountName?: string;
  /** Where it says that it is ready, over HTTPS. */
  readonly readyPath?: string;
}

/** Runs an HTTPS server as a pod behind a Service (port 443) with a certificate of a CA of its own. Answers the CA, base64. */
export async function startPodServer(cluster: TestCluster, options: PodServerOptions): Promise<string> {
  const { name, script, args = [], serviceAccountName, readyPath = "/ready" } = options;
  const now = Date.now();
  const ca = await createCa({ commonName: `${name}-ca`, validityDays: 1, now });
  const dnsNames = [`${name}.${cluster.namespace}.svc`];
  const leaf = await issueCertificate(ca, { commonName: name, usages: ["server"], dnsNames, validityDays: 1, now });
  const metadata = { name, labels: { app: name } };
  const hostPath = (volume: string, path: string) => ({ name: volume, hostPath: { path, type: "Directory" } });
  const mount = (volume: string) => ({ name: volume, mountPath: `/${volume}`, readOnly: true });
  const certs = ["/certs/tls.crt", "/certs/tls.key", String(PORT)];
  await cluster.apply([
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata,
      type: "kubernetes.io/tls",
      stringData: { "tls.crt": leaf.cert, "tls.key": leaf.key },
    },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata,
      spec: {
        terminationGracePeriodSeconds: 1,
        ...(serviceAccountName === undefined ? {} : { serviceAccountName }),
        containers: [
          {
            name: "server",
            image: IMAGE,
            command: ["/node/node", `/servers/${script}`, ...certs, ...args],
            volumeMounts: ["node", "servers", "certs"].map(mount),
            readinessProbe: {
              periodSeconds: 1,
              failureThreshold: 30,
              httpGet: { scheme: "HTTPS", port: PORT, path: readyPath },
            },
          },
        ],
        volumes: [
          hostPath("node", dirname(process.execPath)),
          hostPath("servers", join(import.meta.dirname, "servers")),
          { name: "certs", secret: { secretName: name } },
        ],
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: { selector: { app: name }, ports: [{ port: 443, targetPort: PORT }] },
    },
  ]);
  await cluster.ready(`pod/${name}`, 120);
  return Buffer.from(ca.cert).toString("base64");
}
