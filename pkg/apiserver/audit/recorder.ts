import { isRecord, type UserInfo } from "#pkg/apimachinery/index.ts";
import { type Clock, formatMicroTime, type Random } from "#pkg/util/index.ts";
import type { ApiRequest } from "../contract.ts";
import type { RequestTarget } from "../http/target.ts";
import type { AuditedRequest, AuditSink, SentBody } from "../pipeline.ts";
import { requestBody, sentBody } from "./bodies.ts";
import { auditLevel, type AuditPolicy, type AuditRequirement, type AuditStage } from "./policy.ts";

export interface AuditRecorderDeps {
  readonly policy: AuditPolicy;
  /** Takes one event as a line of JSON. */
  write(line: string): void;
  readonly clock: Clock;
  readonly random: Random;
}

const NOBODY: UserInfo = { name: "", groups: [] };
const LONG_RUNNING_SUBRESOURCES = new Set(["attach", "exec", "log", "portforward", "proxy"]);

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

/** Writes audit.k8s.io/v1 events as a policy says. Bodies are added at the levels Request and RequestResponse. */
export class AuditRecorder implements AuditSink {
  readonly #deps: AuditRecorderDeps;
  constructor(deps: AuditRecorderDeps) {
    this.#deps = deps;
  }

  began(request: ApiRequest, target: RequestTarget, user: UserInfo): AuditedRequest | undefined {
    const requirement = auditLevel(this.#deps.policy, user, target);
    if (requirement.level === "None") return undefined;
    const event = new AuditEvent(this.#deps, requirement, request, target, user);
    event.emit("RequestReceived");
    return event;
  }

  refused(request: ApiRequest, target: RequestTarget, annotations: ReadonlyMap<string, string>): void {
    const requirement = auditLevel(this.#deps.policy, NOBODY, target);
    if (requirement.level === "None") return;
    const tried = request.headers["authorization"]?.split(" ")[0]?.toLowerCase();
    const message = `Authentication failed, ${tried === undefined ? "no credentials provided" : `attempted: ${tried}`}`;
    const event = new AuditEvent(this.#deps, requirement, request, target, NOBODY);
    event.emit("ResponseStarted", {
      responseStatus: { metadata: {}, status: "Failure", message, code: 401 },
      ...(annotations.size === 0 ? {} : { annotations: Object.fromEntries(annotations) }),
    });
  }
}

/** What is known of one request so far. */
class AuditEvent implements AuditedRequest {
  readonly #deps: AuditRecorderDeps;
  readonly #requirement: AuditRequirement;
  readonly #request: ApiRequest;
  readonly #target: RequestTarget;
  readonly #annotations: Record<string, string> = {};
  readonly #common: Record<string, unknown>;

  constructor(
    deps: AuditRecorderDeps,
    requirement: AuditRequirement,
    request: ApiRequest,
    target: RequestTarget,
    user: UserInfo,
  ) {
    this.#deps = deps;
    this.#requirement = requirement;
    this.#request = request;
    this.#target = target;
    this.#common = {
      kind: "Event",
      apiVersion: "audit.k8s.io/v1",
      level: requirement.level,
      auditID: request.auditId ?? deps.random.uuid(),
      requestURI: request.url,
      verb: target.verb,
      user: wireUser(user),
      sourceIPs: sourceIPs(request),
      userAgent: request.headers["user-agent"],
      objectRef: objectRef(target),
      requestReceivedTimestamp: formatMicroTime(deps.clock.now()),
    };
  }

  emit(stage: AuditStage, more: object = {}): void {
    if (this.#requirement.omitStages.has(stage)) return;
    const stageTimestamp = formatMicroTime(this.#deps.clock.now());
    this.#deps.write(JSON.stringify({ ...this.#common, stage, ...more, stageTimestamp }));
  }
  impersonates(user: UserInfo): void {
    this.#common["impersonatedUser"] = wireUser(user);
  }
  annotate(key: string, value: string): void {
    this.#annotations[key] = value;
  }
  started(code: number): void {
    if (this.#target.verb === "watch" || this.#connects)
      this.emit("ResponseStarted", { responseStatus: { metadata: {}, code } });
  }
  ended(code: number, annotations: ReadonlyMap<string, string>, sent: SentBody | undefined): void {
    void this.#complete(code, { ...this.#annotations, ...Object.fromEntries(annotations) }, sent);
  }

  async #complete(code: number, annotations: Record<string, string>, sent: SentBody | undefined): Promise<void> {
    const { level } = this.#requirement;
    const requestObject =
      level === "Metadata" || this.#connects ? undefined : this.#shown(await requestBody(this.#request));
    const wanted = level === "RequestResponse" || code >= 400;
    const answer = wanted && !this.#connects ? await sentBody(sent) : undefined;
    this.emit("ResponseComplete", {
      responseStatus: statusOf(code, answer),
      requestObject,
      responseObject: level === "RequestResponse" ? this.#shown(answer) : undefined,
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    });
  }
  /** Bodies of connections are streams, and not of the API. */
  get #connects(): boolean {
    return LONG_RUNNING_SUBRESOURCES.has(this.#target.subresource);
  }
  #shown(object: unknown): unknown {
    return this.#requirement.omitManagedFields ? withoutManagedFields(object) : object;
  }
}

function statusOf(code: number, answer: unknown): object {
  if (!isRecord(answer) || answer["kind"] !== "Status") return { metadata: {}, code };
  const { status, message, reason, details } = answer;
  return { metadata: {}, status, message, reason, details, code };
}

function withoutManagedFields(object: unknown): unknown {
  if (!isRecord(object)) return object;
  const { metadata, items } = object;
  const changed = { ...object };
  if (isRecord(metadata)) {
    const { managedFields: _, ...rest } = metadata;
    changed["metadata"] = rest;
  }
  if (Array.isArray(items)) changed["items"] = items.map(withoutManagedFields);
  return changed;
}
