import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { badRequest, invalid, notFound } from "#pkg/apimachinery/index.ts";
import type { FieldError, KubeObject } from "#pkg/apimachinery/index.ts";
import { admissionAttributes, type Call } from "../../registry/call.ts";
import { isTrue } from "../../http/target.ts";
import type { ConnectHandler } from "../../registry/dispatch.ts";
import type { Backend, BackendTls } from "./backend.ts";
import { forward } from "./forward.ts";

/** How kubelets are reached. */
export interface KubeletClientOptions {
  readonly tls: BackendTls;
}

const DEFAULT_PORT = 10_250;
/** An address pods' clients can use comes first; names may not resolve where the API server runs. */
const ADDRESS_TYPES = ["InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"];
const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container";

/** Address and port of a node's kubelet. @throws StatusError 404 when the node is unknown or has no address. */
export async function kubeletOf(call: Call, nodeName: string): Promise<{ host: string; port: number }> {
  const entry = await call.services.registry.cache("", "nodes").get("", nodeName);
  if (entry === undefined) throw notFound({ group: "", resource: "nodes" }, nodeName);
  const node = entry.object as unknown as Node;
  const addresses = node.status?.addresses ?? [];
  const host = ADDRESS_TYPES.map((type) => addresses.find((address) => address.type === type)?.address).find(
    (address) => address !== undefined,
  );
  if (host === undefined) throw badRequest(`no preferred addresses found; known addresses: []`);
  return { host, port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? DEFAULT_PORT };
}

async function podOf(call: Call): Promise<Pod> {
  const { namespace, name } = call.target;
  const entry = await call.services.registry.cache("", "pods").get(namespace, name);
  if (entry === undefined) throw notFound(call.installed.subject, name);
  return entry.object as unknown as Pod;
}

/** The container a request means: the named one, or the only one. @throws StatusError 400 in upstream's words */
function chooseContainer(pod: Pod, wanted: string): string {
  const { name } = pod.metadata;
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec;
  if (wanted !== "") {
    if ([...containers, ...initContainers, ...ephemeralContainers].some((container) => container.name === wanted))
      return wanted;
    throw badRequest(`container ${wanted} is not valid for pod ${name}`);
  }
  const preferred = pod.metadata.annotations?.[DEFAULT_CONTAINER];
  if (preferred !== undefined && containers.some((container) => container.name === preferred)) return preferred;
  if (containers.length === 1) return containers[0]!.name;
  const names = (list: readonly { name: string }[]) => list.map((container) => container.name).join(" ");
  const init = initContainers.length === 0 ? "" : ` or one of the init containers: [${names(initContainers)}]`;
  throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${names(containers)}]${init}`);
}

/** Admission of a CONNECT: `options` is the object webhooks see. */
export async function admitConnect(call: Call, kind: string, options: Record<string, unknown>): Promise<void> {
  const object = { apiVersion: "v1", kind, ...options } as unknown as KubeObject;
  const attributes = admissionAttributes(call, {
    operation: "CONNECT",
    name: call.target.name,
    object,
    oldObject: undefined,
    dryRun: false,
    options: {},
  });
  await call.services.admission.admit(attributes);
  await call.services.admission.validate(attributes);
  await call.services.admission.settle(attributes, true);
}

function pathOf(verb: string, pod: Pod, container: string | undefined, query: URLSearchParams): string {
  const parts = [
    verb,
    pod.metadata.namespace ?? "",
    pod.metadata.name,
    ...(container === undefined ? [] : [container]),
  ];
  const text = query.toString();
  return `/${parts.map(encodeURIComponent).join("/")}${text === "" ? "" : `?${text}`}`;
}

async function backendFor(call: Call, pod: Pod, path: string, options: KubeletClientOptions): Promise<Backend> {
  const { nodeName } = pod.spec;
  if (nodeName === undefined || nodeName === "")
    throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  return { ...(await kubeletOf(call, nodeName)), path, tls: options.tls };
}

const LOG_FLAGS = ["follow", "previous", "timestamps"];
const LOG_PARAMETERS = ["sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"];

/** Checks what the kubelet would otherwise have to refuse (PodLogOptions validation). */
function validateLogOptions(query: URLSearchParams): FieldError[] {
  const errors: FieldError[] = [];
  const check = (name: string, least: number, what: string): void => {
    const text = query.get(name);
    if (text === null) return;
    const value = Number(text);
    if (!/^-?\d+$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
    if (value < least)
      errors.push({ type: "FieldValueInvalid", field: name, message: `Invalid value: ${value}: ${what}` });
  };
  check("tailLines", 0, "must be greater than or equal to 0");
  check("limitBytes", 1, "must be greater than 0");
  // Telling the streams apart is behind a gate that is off (PodLogsQuerySplitStreams).
  if (query.get("stream") !== null)
    errors.push({ type: "FieldValueForbidden", field: "stream", message: "Forbidden: may not be specified" });
  if (query.get("sinceSeconds") !== null && query.get("sinceTime") !== null) {
    errors.push({
      type: "FieldValueForbidden",
      field: "[]", // of the options as a whole
      message: "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
    });
  } else check("sinceSeconds", 1, "must be greater than 0");
  return errors;
}

function serveLog(options: KubeletClientOptions): ConnectHandler {
  return async (call) => {
    const { query } = call.target;
    const pod = await podOf(call);
    const errors = validateLogOptions(query);
    if (errors.length > 0) throw invalid({ group: "", kind: "PodLogOptions" }, call.target.name, errors);
    const container = chooseContainer(pod, query.get("container") ?? "");
    if (pod.spec.nodeName === undefined || pod.spec.nodeName === "") {
      // Nothing has run yet, so there is nothing to read.
      call.response.send(200, { "content-type": "text/plain" }, Buffer.alloc(0));
      return;
    }
    const passed = new URLSearchParams([
      ...LOG_FLAGS.filter((name) => isTrue(query.get(name))).map((name) => [name, "true"]),
      ...LOG_PARAMETERS.filter((name) => query.has(name)).map((name) => [name, query.get(name)!]),
    ]);
    await forward(call, await backendFor(call, pod, pathOf("containerLogs", pod, container, passed), options), {
      messages: true,
      refusalsAsStatus: true,
    });
  };
}

/** Whoever asks for streams speaks their protocol with the kubelet, which refuses in its own words. */
async function upgradeTo(call: Call, backend: Backend): Promise<void> {
  if (call.request.upgrade === undefined) throw badRequest("Upgrade request required");
  await forward(call, backend);
}

/** exec and attach differ in the command only. */
function serveStreams(verb: "exec" | "attach", kind: string, options: KubeletClientOptions): ConnectHandler {
  return async (call) => {
    const { query } = call.target;
    const pod = await podOf(call);
    const container = chooseContainer(pod, query.get("container") ?? "");
    const command = query.getAll("command");
    const streams = {
      stdin: isTrue(query.get("stdin")),
      stdout: isTrue(query.get("stdout")),
      stderr: isTrue(query.get("stderr")),
      tty: isTrue(query.get("tty")),
    };
    await admitConnect(call, kind, { ...streams, container, ...(verb === "exec" ? { command } : {}) });
    if (verb === "exec" && command.length === 0)
      throw badRequest("you must specify at least one command for the container");
    const passed = new URLSearchParams(command.map((word) => ["command", word]));
    if (streams.stdin) passed.append("input", "1");
    if (streams.stdout) passed.append("output", "1");
    if (streams.stderr && !streams.tty) passed.append("error", "1");
    if (streams.tty) passed.append("tty", "1");
    await upgradeTo(call, await backendFor(call, pod, pathOf(verb, pod, container, passed), options));
  };
}

function servePortForward(options: KubeletClientOptions): ConnectHandler {
  return async (call) => {
    const pod = await podOf(call);
    const ports = call.target.query.getAll("ports").flatMap((text) => text.split(","));
    await admitConnect(call, "PodPortForwardOptions", { ports: ports.map(Number) });
    const passed = new URLSearchParams(ports.map((port) => ["port", port]));
    await upgradeTo(call, await backendFor(call, pod, pathOf("portForward", pod, undefined, passed), options));
  };
}

/** pods/log, exec, attach and portforward: the node's kubelet answers, we check and pass on. */
export function kubeletHandlers(options: KubeletClientOptions): Map<string, ConnectHandler> {
  return new Map<string, ConnectHandler>([
    ["/pods/log", serveLog(options)],
    ["/pods/exec", serveStreams("exec", "PodExecOptions", options)],
    ["/pods/attach", serveStreams("attach", "PodAttachOptions", options)],
    ["/pods/portforward", servePortForward(options)],
  ]);
}
