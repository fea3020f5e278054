import { writeFileAtomic } from "./files.ts";

export interface KubeconfigOptions {
  readonly path: string;
  /** e.g. https://10.0.0.1:6443 */
  readonly server: string;
  /** PEM. */
  readonly ca: string;
  /** Client certificate and key (PEM), a file that holds both and may change, or a bearer token. */
  readonly cert?: string;
  readonly key?: string;
  readonly certAndKeyFile?: string;
  readonly token?: string;
  readonly user: string;
  readonly cluster?: string;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

function credentialLines({ cert, key, certAndKeyFile, token }: Omit<KubeconfigOptions, "path">): string[] {
  if (cert !== undefined && key !== undefined)
    return [`    client-certificate-data: ${base64(cert)}`, `    client-key-data: ${base64(key)}`];
  if (certAndKeyFile !== undefined)
    return ["certificate", "key"].map((part) => `    client-${part}: ${JSON.stringify(certAndKeyFile)}`);
  return token === undefined ? [] : [`    token: ${JSON.stringify(token)}`];
}

/** Text of a kubeconfig with everything embedded that is not named as a file. JSON strings are valid YAML scalars, whatever they contain. */
export function renderKubeconfig(options: Omit<KubeconfigOptions, "path">): string {
  const cluster = options.cluster ?? "kubernetes";
  const context = `${options.user}@${cluster}`;
  const credentials = credentialLines(options);
  return [
    "apiVersion: v1",
    "kind: Config",
    "clusters:",
    "- cluster:",
    `    certificate-authority-data: ${base64(options.ca)}`,
    `    server: ${JSON.stringify(options.server)}`,
    `  name: ${JSON.stringify(cluster)}`,
    "contexts:",
    "- context:",
    `    cluster: ${JSON.stringify(cluster)}`,
    `    user: ${JSON.stringify(options.user)}`,
    `  name: ${JSON.stringify(context)}`,
    `current-context: ${JSON.stringify(context)}`,
    "preferences: {}",
    "users:",
    `- name: ${JSON.stringify(options.user)}`,
    credentials.length === 0 ? "  user: {}" : "  user:",
    ...credentials,
    "",
  ].join("\n");
}

/** Writes a kubeconfig readable by its owner only (0600), atomically. */
export async function writeKubeconfig(options: KubeconfigOptions): Promise<void> {
  await writeFileAtomic(options.path, renderKubeconfig(options), 0o600);
}
