import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { type Clock, formatMicroTime, type Random } from "#pkg/util/index.ts";
import type { ApiRequest } from "../contract.ts";
import type { RequestTarget } from "../http/target.ts";
import type { AuditSink } from "../pipeline.ts";
import { type AuditLevel, auditLevel, type AuditPolicy, type AuditStage } from "./policy.ts";

export interface AuditRecorderDeps {
  readonly policy: AuditPolicy;
  /** Takes one event as a line of JSON. */
  write(line: string): void;
  readonly clock: Clock;
  readonly random: Random;
}

const WRITE_METHODS = new Set(["POST", "PUT", "PATCH", "DELETE"]);
/** Bigger bodies are left out of events. */
const MAX_BODY_BYTES = 256 * 1024;

function wireUser({ name, uid, groups, extra }: UserInfo): object {
  return { username: name, ...(uid === undefined ? {} : { uid }), groups, ...(extra === undefined ? {} : { extra }) };
}

function objectRef(target: RequestTarget): object | undefined {
  if (!target.resourceRequest) return undefined;
  const { resource, namespace, name, group, version, subresource } = target;
  return {
    resource,
    ...(namespace === "" ? {} : { namespace }),
    ...(name === "" ? {} : { name }),
    ...(group === "" ? {} : { apiGroup: group }),
    apiVersion: version,
    ...(subresource === "" ? {} : { subresource }),
  };
}

function sourceIPs({ headers, remoteAddress }: ApiRequest): string[] {
  const forwarded = headers["x-forwarded-for"]?.split(",").map((address) => address.trim()) ?? [];
  return [...new Set([...forwarded.filter((address) => address !== ""), remoteAddress])];
}

/** The request's body as an object, where it is JSON of bearable size. */
async function requestObject(request: ApiRequest): Promise<unknown> {
  if (!WRITE_METHODS.has(request.method) || request.headers["content-type"]?.includes("json") !== true)
    return undefined;
  try {
    const body = await request.body();
    return body.length === 0 || body.length > MAX_BODY_BYTES ? undefined : JSON.parse(body.toString("utf8"));
  } catch {
    return undefined; // The client learnt of its broken body from the answer; the event stands without it.
  }
}

/**
 * Writes audit.k8s.io/v1 events as a policy says. The levels Request and RequestResponse add the request's object;
 * response objects are not recorded.
 */
export class AuditRecorder implements AuditSink {
  readonly #deps: AuditRecorderDeps;
  constructor(deps: AuditRecorderDeps) {
    this.#deps = deps;
  }

  began(
    request: ApiRequest,
    target: RequestTarget,
    user: UserInfo,
  ): (code: number, annotations: ReadonlyMap<string, string>) => void {
    const { policy, clock, random } = this.#deps;
    const { level, omitStages } = auditLevel(policy, user, target);
    if (level === "None") return () => undefined;
    const received = clock.now();
    const common = {
      kind: "Event",
      apiVersion: "audit.k8s.io/v1",
      level,
      auditID: request.headers["audit-id"] ?? random.uuid(),
      requestURI: request.url,
      verb: target.verb,
      user: wireUser(user),
      sourceIPs: sourceIPs(request),
      userAgent: request.headers["user-agent"],
      objectRef: objectRef(target),
      requestReceivedTimestamp: formatMicroTime(received),
    };
    const emit = (stage: AuditStage, more: object = {}): void => {
      if (omitStages.has(stage)) return;
      this.#deps.write(JSON.stringify({ ...common, stage, ...more, stageTimestamp: formatMicroTime(clock.now()) }));
    };
    emit("RequestReceived");
    return (code, annotations) => void this.#complete(request, level, code, annotations, emit);
  }

  async #complete(
    request: ApiRequest,
    level: AuditLevel,
    code: number,
    annotations: ReadonlyMap<string, string>,
    emit: (stage: AuditStage, more: object) => void,
  ): Promise<void> {
    const object = level === "Metadata" ? undefined : await requestObject(request);
    emit("ResponseComplete", {
      responseStatus: { metadata: {}, code },
      ...(object === undefined ? {} : { requestObject: object }),
      ...(annotations.size === 0 ? {} : { annotations: Object.fromEntries(annotations) }),
    });
  }
}
