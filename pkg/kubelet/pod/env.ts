/** The environment of a container: service variables, envFrom, env, in upstream's order of precedence. */
import type { Container, EphemeralContainer, Pod, Service } from "#pkg/api/types/core-v1.ts";
import type { ReferencedObjects } from "../objects.ts";
import { fieldValue, resourceValue } from "./downward.ts";
import type { DownwardContext } from "./downward.ts";
import { ContainerConfigError } from "./env-error.ts";
import { variableOf } from "./env-file.ts";
import { expand } from "./expansion.ts";

/** What a container's environment is made of. */
export interface EnvInput {
  readonly container: Container | EphemeralContainer;
  readonly context: DownwardContext;
  readonly services: readonly Service[];
  readonly objects: Pick<ReferencedObjects, "configMap" | "secret">;
  /** Reads a file of a volume of the pod (fileKeyRef). */
  readonly readVolumeFile: (volumeName: string, path: string) => Promise<string | undefined>;
  readonly signal?: AbortSignal;
}

function variableName(text: string): string {
  return text.toUpperCase().replaceAll("-", "_");
}

/** Docker-links style variables for the services a pod may see: those of its namespace, and kubernetes in default. */
export function serviceVariables(pod: Pod, services: readonly Service[]): Map<string, string> {
  const namespace = pod.metadata.namespace ?? "";
  const visible = new Map<string, Service>();
  for (const service of services) {
    const { clusterIP } = service.spec ?? {};
    if (clusterIP === undefined || clusterIP === "" || clusterIP === "None") continue;
    const { name } = service.metadata;
    const isMaster = service.metadata.namespace === "default" && name === "kubernetes";
    if (service.metadata.namespace === namespace && (pod.spec.enableServiceLinks !== false || isMaster))
      visible.set(name, service);
    else if (isMaster && !visible.has(name)) visible.set(name, service);
  }
  const result = new Map<string, string>();
  for (const [name, service] of visible) {
    const prefix = variableName(name);
    const ip = service.spec.clusterIP!;
    const ports = service.spec.ports ?? [];
    const first = ports[0];
    result.set(`${prefix}_SERVICE_HOST`, ip);
    if (first === undefined) continue;
    const host = ip.includes(":") ? `[${ip}]` : ip;
    result.set(`${prefix}_SERVICE_PORT`, String(first.port));
    for (const port of ports)
      if (port.name !== undefined && port.name !== "")
        result.set(`${prefix}_SERVICE_PORT_${variableName(port.name)}`, String(port.port));
    ports.forEach((port, index) => {
      const protocol = (port.protocol ?? "TCP").toUpperCase();
      const url = `${protocol.toLowerCase()}://${host}:${port.port}`;
      if (index === 0) result.set(`${prefix}_PORT`, url);
      const portPrefix = `${prefix}_PORT_${port.port}_${protocol}`;
      result.set(portPrefix, url);
      result.set(`${portPrefix}_PROTO`, protocol.toLowerCase());
      result.set(`${portPrefix}_PORT`, String(port.port));
      result.set(`${portPrefix}_ADDR`, ip);
    });
  }
  return result;
}

export async function buildEnvironment(input: EnvInput): Promise<Map<string, string>> {
  const { container, context } = input;
  const services = serviceVariables(context.pod, input.services);
  const env = new Map<string, string>();
  for (const source of container.envFrom ?? []) {
    const prefix = source.prefix ?? "";
    for (const [key, value] of await envFromSource(input, source)) env.set(prefix + key, value);
  }
  const lookUp = (name: string) => env.get(name) ?? services.get(name);
  for (const variable of container.env ?? []) {
    const value =
      variable.valueFrom === undefined
        ? expand(variable.value ?? "", lookUp)
        : await valueFrom(input, variable.valueFrom);
    if (value !== undefined) env.set(variable.name, value);
  }
  for (const [name, value] of services) if (!env.has(name)) env.set(name, value);
  return env;
}

async function envFromSource(
  input: EnvInput,
  source: NonNullable<Container["envFrom"]>[number],
): Promise<[string, string][]> {
  const namespace = input.context.pod.metadata.namespace ?? "";
  const { configMapRef, secretRef } = source;
  if (configMapRef !== undefined) {
    const name = configMapRef.name ?? "";
    const configMap = await input.objects.configMap(namespace, name, input.signal);
    if (configMap !== undefined) return Object.entries(configMap.data ?? {});
    if (configMapRef.optional === true) return [];
    throw new ContainerConfigError(`configmap "${name}" not found`);
  }
  if (secretRef !== undefined) {
    const name = secretRef.name ?? "";
    const secret = await input.objects.secret(namespace, name, input.signal);
    if (secret !== undefined)
      return Object.entries(secret.data ?? {}).map(([key, value]) => [
        key,
        Buffer.from(value, "base64").toString("utf8"),
      ]);
    if (secretRef.optional === true) return [];
    throw new ContainerConfigError(`secret "${name}" not found`);
  }
  return [];
}

async function valueFrom(
  input: EnvInput,
  source: NonNullable<NonNullable<Container["env"]>[number]["valueFrom"]>,
): Promise<string | undefined> {
  const { context, container } = input;
  const namespace = context.pod.metadata.namespace ?? "";
  if (source.fieldRef !== undefined) return fieldValue(source.fieldRef, context);
  if (source.resourceFieldRef !== undefined) return resourceValue(source.resourceFieldRef, container.name, context);
  if (source.configMapKeyRef !== undefined) {
    const { name = "", key, optional } = source.configMapKeyRef;
    const configMap = await input.objects.configMap(namespace, name, input.signal);
    const value = configMap?.data?.[key];
    if (value !== undefined) return value;
    if (optional === true) return undefined;
    throw new ContainerConfigError(
      configMap === undefined
        ? `configmap "${name}" not found`
        : `couldn't find key ${key} in ConfigMap ${namespace}/${name}`,
    );
  }
  if (source.secretKeyRef !== undefined) {
    const { name = "", key, optional } = source.secretKeyRef;
    const secret = await input.objects.secret(namespace, name, input.signal);
    const value = secret?.data?.[key];
    if (value !== undefined) return Buffer.from(value, "base64").toString("utf8");
    if (optional === true) return undefined;
    throw new ContainerConfigError(
      secret === undefined ? `secret "${name}" not found` : `couldn't find key ${key} in Secret ${namespace}/${name}`,
    );
  }
  if (source.fileKeyRef !== undefined) return fileKey(input, source.fileKeyRef);
  return "";
}

/** KEP-3721: a variable of an env file that an init container left in an emptyDir. */
async function fileKey(
  input: EnvInput,
  ref: { volumeName: string; path: string; key: string; optional?: boolean },
): Promise<string | undefined> {
  const text = await input.readVolumeFile(ref.volumeName, ref.path);
  if (text === undefined) {
    if (ref.optional === true) return undefined;
    throw new ContainerConfigError(`file ${ref.path} of volume ${ref.volumeName} not found`);
  }
  const value = variableOf(text, ref.key);
  if (value !== undefined) return value;
  if (ref.optional === true) return undefined;
  throw new ContainerConfigError(`environment variable key ${ref.key} not found in file ${ref.path}`);
}
