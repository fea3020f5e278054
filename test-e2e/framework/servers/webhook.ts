// An admission and conversion webhook that tests run as a pod: node webhook.ts CERT KEY PORT. The path chooses what it does.
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";

interface Thing {
  readonly apiVersion: string;
  readonly metadata: { readonly name?: string; readonly labels?: Record<string, string> };
  readonly data?: Record<string, string>;
  readonly spec?: { readonly containers?: readonly { readonly name: string }[] };
  readonly hostPort?: string;
  readonly host?: string;
  readonly port?: string;
}
interface Review {
  readonly name?: string;
  readonly object: Thing | null;
  readonly oldObject: Thing | null;
}
type Verdict = Record<string, unknown> & { readonly allowed: boolean };

const [cert = "", key = "", port] = process.argv.slice(2);
const allow = (): Verdict => ({ allowed: true });
const deny = (message: string): Verdict => ({ allowed: false, status: { message } });
const patch = (operations: readonly object[]): Verdict => ({
  allowed: true,
  ...(operations.length === 0
    ? {}
    : { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(operations)).toString("base64") }),
});
const add = (path: string, value: unknown): object => ({ op: "add", path, value });

const isMarked = (object: Thing | null): boolean => object?.metadata.labels?.["disallowed"] === "true";

/** Adds the second key only where the first is, so that the order of two webhooks shows. */
function stages({ object }: Review): Verdict {
  const data = object?.data ?? {};
  return patch([
    ...(data["start"] === "yes" ? [add("/data/stage-1", "yes")] : []),
    ...(data["stage-1"] === "yes" ? [add("/data/stage-2", "yes")] : []),
  ]);
}

function convert(object: Thing, desiredAPIVersion: string): object {
  const { hostPort, host, port: number, ...rest } = object;
  const converted = { ...rest, apiVersion: desiredAPIVersion };
  if (desiredAPIVersion.endsWith("/v1")) return { ...converted, hostPort: `${host}:${number}` };
  const [newHost, newPort] = String(hostPort).split(":");
  return { ...converted, host: newHost, port: newPort };
}

const admissions: Readonly<Record<string, (review: Review) => Verdict | Promise<Verdict>>> = {
  "/allow": allow,
  "/deny": () => deny("this webhook denies all requests"),
  "/stages": stages,
  "/validate-data": ({ object, oldObject }) =>
    (object ?? oldObject)?.data?.["key"] === "offending" ? deny("the object contains unwanted key") : allow(),
  "/validate-pod": ({ object }) =>
    object?.spec?.containers?.some(({ name }) => name === "disallowed") === true || isMarked(object)
      ? deny("the pod contains unwanted container name; the pod contains unwanted label")
      : allow(),
  "/add-init": () =>
    patch([
      add("/spec/initContainers", [{ name: "webhook-added-init-container", image: "busybox:1.35", resources: {} }]),
    ]),
  "/label": () => patch([add("/metadata/labels", { mutated: "true" })]),
  "/crd": ({ object }) => (isMarked(object) ? deny("the custom resource definition contains unwanted label") : allow()),
  "/attach": ({ name }) => deny(`attaching to pod '${name}' is not allowed`),
  "/rename": () => patch([{ op: "replace", path: "/metadata/name", value: "other" }]),
  "/move": () => patch([{ op: "replace", path: "/metadata/namespace", value: "kube-system" }]),
  "/uid": () => patch([add("/metadata/uid", "0")]),
  "/no-metadata": () => patch([{ op: "remove", path: "/metadata" }]),
  "/bad-patch": () => patch([{ op: "replace", path: "/does/not/exist", value: 1 }]),
  "/warn": () => ({ allowed: true, warnings: ["mind the gap"], auditAnnotations: { seen: "yes" } }),
  "/wait": () => new Promise((resolve) => setTimeout(() => resolve({ allowed: true }), 2500)),
  "/hang": () => new Promise(() => undefined),
};
/** Answers that are no AdmissionReview. */
const answers: Readonly<Record<string, () => string>> = {
  "/garbage": () => "}{ not JSON",
  "/empty": () => "",
  "/huge": () => JSON.stringify({ padding: "x".repeat(10 * 1024 * 1024) }),
  "/wrong-uid": () =>
    JSON.stringify({
      apiVersion: "admission.k8s.io/v1",
      kind: "AdmissionReview",
      response: { uid: "0", allowed: true },
    }),
  "/absent": () => JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview" }),
};

async function answer(path: string, text: string): Promise<string> {
  const raw = answers[path];
  if (raw !== undefined) return raw();
  const { request, apiVersion, kind } = JSON.parse(text) as {
    request: Review & { uid: string; objects: Thing[]; desiredAPIVersion: string };
    apiVersion: string;
    kind: string;
  };
  if (path === "/convert") {
    const convertedObjects = request.objects.map((object) => convert(object, request.desiredAPIVersion));
    const response = { uid: request.uid, convertedObjects, result: { status: "Success" } };
    return JSON.stringify({ apiVersion, kind, response });
  }
  const response = await admissions[path]!(request);
  return JSON.stringify({ apiVersion, kind, response: { uid: request.uid, ...response } });
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", "https://webhook");
  if (pathname === "/ready") return void response.end("ok");
  if (!(pathname in admissions) && !(pathname in answers) && pathname !== "/convert")
    return void response.writeHead(404).end();
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  try {
    const text = await answer(pathname, Buffer.concat(chunks).toString());
    response.setHeader("content-type", "application/json").end(text);
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
}

createServer(
  { cert: readFileSync(cert), key: readFileSync(key) },
  (request, response) => void serve(request, response),
).listen(Number(port));
process.on("SIGTERM", () => process.exit(0));
