import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { decodeYaml, isRecord } from "#pkg/apimachinery/index.ts";
import type { ConnectionConfig } from "./transport/credentials.ts";

export interface KubeconfigContext extends ConnectionConfig {
  /** The context's namespace, "default" when it names none. */
  readonly namespace: string;
}

/** Reads a kubeconfig file's current context (or the named one). Paths in it are relative to the file. */
export async function loadKubeconfig(path: string, options: { context?: string } = {}): Promise<KubeconfigContext> {
  const text = await readFile(path, "utf8");
  return parseKubeconfig(text, { ...options, directory: dirname(path), source: path });
}

/** The same from text. Throws an Error that names `source` for anything missing or unsupported. */
export function parseKubeconfig(
  text: string,
  options: { context?: string; directory?: string; source?: string } = {},
): KubeconfigContext {
  const source = options.source ?? "kubeconfig";
  const config = decodeYaml(text).value;
  if (!isRecord(config)) throw new Error(`${source} is not a kubeconfig`);
  const contextName = options.context ?? textOf(config["current-context"]) ?? "";
  const context = named(config["contexts"], contextName, "context", source);
  const cluster = named(config["clusters"], textOf(context["cluster"]) ?? "", "cluster", source);
  const userName = textOf(context["user"]) ?? "";
  const user = userName === "" ? {} : named(config["users"], userName, "user", source);
  for (const unsupported of ["exec", "auth-provider"]) {
    if (user[unsupported] !== undefined)
      throw new Error(`${source}: user ${userName} uses ${unsupported}, which is not supported`);
  }
  const server = textOf(cluster["server"]);
  if (server === undefined || server === "")
    throw new Error(`${source}: the cluster of context ${contextName} has no server`);
  const file = (value: unknown) => {
    const name = textOf(value);
    if (name === undefined || name === "") return undefined;
    return isAbsolute(name) ? name : join(options.directory ?? ".", name);
  };
  const groups = user["as-groups"];
  const all: Record<keyof KubeconfigContext, unknown> = {
    server,
    // Embedded data wins over files, as in client-go.
    ca: pem(cluster["certificate-authority-data"]),
    caFile: cluster["certificate-authority-data"] === undefined ? file(cluster["certificate-authority"]) : undefined,
    insecureSkipTlsVerify: cluster["insecure-skip-tls-verify"] === true ? true : undefined,
    tlsServerName: textOf(cluster["tls-server-name"]),
    cert: pem(user["client-certificate-data"]),
    certFile: user["client-certificate-data"] === undefined ? file(user["client-certificate"]) : undefined,
    key: pem(user["client-key-data"]),
    keyFile: user["client-key-data"] === undefined ? file(user["client-key"]) : undefined,
    token: textOf(user["token"]),
    tokenFile: file(user["tokenFile"]),
    username: textOf(user["username"]),
    password: textOf(user["password"]),
    impersonateUser: textOf(user["as"]),
    impersonateGroups: Array.isArray(groups) ? groups.map(String) : undefined,
    namespace: textOf(context["namespace"]) ?? "default",
  };
  const present = Object.entries(all).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as unknown as KubeconfigContext;
}

function named(list: unknown, name: string, kind: string, source: string): Record<string, unknown> {
  const entries = Array.isArray(list) ? list.filter(isRecord) : [];
  const entry = entries.find((candidate) => candidate["name"] === name);
  const value = entry?.[kind];
  if (entry === undefined) throw new Error(`${source}: there is no ${kind} named "${name}"`);
  return isRecord(value) ? value : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function pem(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? Buffer.from(value, "base64").toString("utf8") : undefined;
}
