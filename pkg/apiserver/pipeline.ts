import { isStatusError, pathNotFound, type StatusError, type UserInfo } from "#pkg/apimachinery/index.ts";
import type {
  ApiHandler,
  ApiRequest,
  ApiResponse,
  Attributes,
  Authenticator,
  Authorizer,
  Decision,
  Remarks,
} from "./contract.ts";
import type { Turn } from "./flowcontrol/index.ts";
import { joinHeaders } from "./http/header-sets.ts";
import type { Negotiator } from "./http/negotiate.ts";
import { sendError } from "./http/reply.ts";
import { asStatusError } from "./http/status.ts";
import type { AccessMetrics } from "./metrics/access-metrics.ts";
import { isTrue, parseTarget, type RequestTarget } from "./http/target.ts";
import type { Call, RestServices } from "./registry/call.ts";
import { dispatch, type Handlers } from "./registry/dispatch.ts";

/** An answer for paths that name no resource (discovery, health, metrics…). */
export interface NonResourceContext {
  readonly request: ApiRequest;
  readonly response: ApiResponse;
  readonly target: RequestTarget;
  readonly user: UserInfo;
  readonly negotiator: Negotiator;
  readonly pretty: boolean;
}
/** Returns false when it does not serve the path. */
export type NonResourceHandler = (context: NonResourceContext) => boolean | Promise<boolean>;

/** Serves a resource path that the registry does not know (aggregated APIs). Returns false when it does not either. */
export type FallbackHandler = (context: NonResourceContext) => Promise<boolean>;

/** The answer for a path that nothing is behind: of no API, so no Status. */
function sendPageNotFound(response: ApiResponse): void {
  const headers = {
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache, private",
  };
  response.send(404, headers, Buffer.from("404 page not found\n"));
}

/** `queuedMs` is how long flow control let it wait; `turnedAway` says that its turn never came. */
export type RequestEnd = (code: number, queuedMs: number, turnedAway: boolean) => void;

/** What is told about every request once its answer has begun or ended. */
export interface RequestObserver {
  /** Returns what to call at the end of the request with the status code. */
  began(target: RequestTarget): RequestEnd;
}

export interface PipelineDeps {
  readonly services: RestServices;
  readonly handlers: Handlers;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  /** In whose name the request is made: at once when that is the user's own. */
  readonly impersonate?: (request: ApiRequest, user: UserInfo, authorizer: Authorizer) => UserInfo | Promise<UserInfo>;
  /** The 403 for a refusal. */
  readonly forbidden: (attributes: Attributes, reason: string) => StatusError;
  readonly nonResource: readonly NonResourceHandler[];
  readonly fallback?: FallbackHandler;
  /** Is there an API at the path, so that what it has not is refused in its words? */
  readonly claims: (path: string) => boolean;
  readonly observer?: RequestObserver;
  readonly access?: AccessMetrics;
  /** Asks for a turn of the request's priority level. */
  readonly flowControl?: (user: UserInfo, target: RequestTarget, request: Pick<ApiRequest, "signal">) => Turn;
  readonly audit?: AuditSink;
}

/** What an answer was, for those who write it down. */
export interface SentBody {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | readonly Buffer[];
}

/** Follows one request that the audit policy wants to be written down. */
export interface AuditedRequest {
  /** It is made in another user's name. */
  impersonates(user: UserInfo): void;
  annotate(key: string, value: string): void;
  /** A stream of answers begins. */
  started(code: number): void;
  ended(code: number, annotations: ReadonlyMap<string, string>, sent: SentBody | undefined): void;
}
/** Lines of the audit log: one per stage of a request. */
export interface AuditSink {
  /** Undefined when the policy does not care for the request. */
  began(request: ApiRequest, target: RequestTarget, user: UserInfo): AuditedRequest | undefined;
  /** Somebody could not prove who they are. */
  refused(request: ApiRequest, target: RequestTarget, annotations: ReadonlyMap<string, string>): void;
}

class CollectedRemarks implements Remarks {
  readonly warnings: string[] = [];
  readonly auditAnnotations = new Map<string, string>();
  warn(text: string): void {
    this.warnings.push(text);
  }
  annotate(key: string, value: string): void {
    this.auditAnnotations.set(key, value);
  }
}

const USER_AGENTS_FOR_PEOPLE = /^(curl|Wget|Mozilla\/5\.0)/;

/** The one way through the API server: parse, authenticate, impersonate, authorize, route. Never rejects. */
export class Pipeline implements ApiHandler {
  readonly #deps: PipelineDeps;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
  }

  async handle(request: ApiRequest, response: ApiResponse): Promise<void> {
    const { services, observer } = this.#deps;
    const tracked = new TrackedResponse(response);
    let ended: RequestEnd | undefined;
    let queuedMs = 0;
    let admitted = false;
    let audited: AuditedRequest | undefined;
    let turn: Turn | undefined;
    const remarks = new CollectedRemarks();
    const { warnings, auditAnnotations } = remarks;
    try {
      const target = parseTarget(request.method, request.url);
      ended = observer?.began(target);
      const authenticated = (await this.#authenticate(request, target, remarks)) ?? ANONYMOUS;
      if (this.#deps.audit !== undefined) {
        audited = this.#deps.audit.began(request, target, authenticated);
        tracked.audited = audited;
      }
      const named = this.#deps.impersonate?.(request, authenticated, this.#deps.authorizer) ?? authenticated;
      const user = named instanceof Promise ? await named : named;
      if (user !== authenticated) audited?.impersonates(user);
      turn = this.#deps.flowControl?.(user, target, request);
      tracked.more = turn?.headers;
      if (turn?.waiting !== undefined) {
        const since = services.clock.monotonic();
        await turn.waiting;
        queuedMs = services.clock.monotonic() - since;
      }
      admitted = true;
      const allowed = this.#authorize(user, target, audited);
      if (allowed !== undefined) await allowed;
      await this.#serve(request, tracked, target, user, turn, warnings, auditAnnotations);
    } catch (error) {
      const status = asStatusError(error);
      if (status.code >= 500 && !isStatusError(error)) {
        services.log.error({ method: request.method, url: request.url, err: error }, "Request failed");
      }
      if (tracked.begun) tracked.abort();
      else
        sendError(
          { request, response: tracked, warnings, pretty: false },
          status,
          errorEncoding(services.negotiator, request),
        );
    } finally {
      turn?.release();
      ended?.(tracked.code, queuedMs, tracked.code === 429 && !admitted);
      audited?.ended(tracked.code, auditAnnotations, tracked.sent);
    }
  }

  async #authenticate(
    request: ApiRequest,
    target: RequestTarget,
    remarks: CollectedRemarks,
  ): Promise<UserInfo | undefined> {
    const { authenticator, access, audit, services } = this.#deps;
    const since = services.clock.monotonic();
    try {
      const user = await authenticator.authenticate(request, remarks);
      access?.authenticated("success", services.clock.monotonic() - since);
      return user;
    } catch (error) {
      const failed = isStatusError(error) && error.code === 401;
      access?.authenticated(failed ? "failure" : "error", services.clock.monotonic() - since);
      if (failed) audit?.refused(request, target, remarks.auditAnnotations);
      throw error;
    }
  }

  #authorize(user: UserInfo, target: RequestTarget, audited: AuditedRequest | undefined): void | Promise<void> {
    const attributes = attributesOf(user, target);
    const { access, authorizer, services } = this.#deps;
    const since = services.clock.monotonic();
    const passed = (): number => services.clock.monotonic() - since;
    const judge = (decision: Decision): void => {
      access?.authorized(decision.decision, passed());
      this.#judge(attributes, decision, audited);
    };
    const decision = authorizer.authorize(attributes);
    if (!(decision instanceof Promise)) return judge(decision);
    return decision.then(judge, (error: unknown) => {
      access?.authorized("error", passed());
      throw error;
    });
  }
  #judge(attributes: Attributes, { decision, reason }: Decision, audited: AuditedRequest | undefined): void {
    if (audited !== undefined) {
      audited.annotate("authorization.k8s.io/decision", decision === "allow" ? "allow" : "forbid");
      audited.annotate("authorization.k8s.io/reason", reason);
    }
    if (decision !== "allow") throw this.#deps.forbidden(attributes, reason);
  }

  async #serve(
    request: ApiRequest,
    response: TrackedResponse,
    target: RequestTarget,
    user: UserInfo,
    turn: Turn | undefined,
    warnings: string[],
    auditAnnotations: Map<string, string>,
  ): Promise<void> {
    const { services, handlers } = this.#deps;
    const pretty = isPretty(request, target);
    const context = { request, response, target, user, negotiator: services.negotiator, pretty };
    if (!target.resourceRequest) {
      for (const handler of this.#deps.nonResource) if (await handler(context)) return;
      return this.#miss(context);
    }
    const installed = services.registry.lookup(target.group, target.version, target.resource);
    if (installed === undefined) {
      // When a watch that others serve has begun is not to be seen here.
      if (target.verb === "watch") turn?.release();
      return this.#miss(context);
    }
    const call: Call = {
      services,
      request,
      response,
      target,
      user,
      installed,
      warnings,
      pretty,
      auditAnnotations,
      turn,
      now: services.clock.now(),
    };
    await dispatch(call, handlers);
  }

  /** What nothing here serves: another server may. */
  async #miss(context: NonResourceContext): Promise<void> {
    const { fallback, claims } = this.#deps;
    if (fallback !== undefined && (await fallback(context))) return;
    if (claims(context.target.path)) throw pathNotFound();
    sendPageNotFound(context.response);
  }
}

const ANONYMOUS: UserInfo = { name: "system:anonymous", groups: ["system:unauthenticated"] };

/** What authorizers are asked about a request. */
export function attributesOf(user: UserInfo, target: RequestTarget): Attributes {
  if (!target.resourceRequest) return { user, resourceRequest: false, verb: target.verb, path: target.path };
  const labelSelector = target.query.get("labelSelector");
  const fieldSelector = target.query.get("fieldSelector");
  return {
    user,
    resourceRequest: true,
    verb: target.verb,
    namespace: target.namespace,
    apiGroup: target.group,
    apiVersion: target.version,
    resource: target.resource,
    subresource: target.subresource,
    name: target.name === "" && fieldSelector !== null ? exactName(fieldSelector) : target.name,
    ...(labelSelector === null ? {} : { labelSelector }),
    ...(fieldSelector === null ? {} : { fieldSelector }),
  };
}

/** A list of exactly one name is judged like a request for that name. */
function exactName(fieldSelector: string): string {
  const match = /(?:^|,)metadata\.name==?([^,=!\\]+)(?:,|$)/.exec(fieldSelector);
  return match?.[1] ?? "";
}

function isPretty(request: ApiRequest, target: RequestTarget): boolean {
  const asked = target.query.get("pretty");
  if (asked !== null) return isTrue(asked);
  const agent = request.headers["user-agent"];
  return agent !== undefined && USER_AGENTS_FOR_PEOPLE.test(agent);
}

function errorEncoding(negotiator: Negotiator, request: ApiRequest): "json" | "yaml" | "protobuf" {
  try {
    return negotiator.negotiate(request.headers["accept"], { protobuf: true, transforms: true }).encoding;
  } catch {
    return "json"; // The error itself says what is acceptable.
  }
}

/** Remembers whether an answer has begun, and with which code. */
class TrackedResponse implements ApiResponse {
  readonly #inner: ApiResponse;
  begun = false;
  code = 0;
  audited: AuditedRequest | undefined;
  /** Headers that every answer to this request carries. */
  more: Readonly<Record<string, string>> | undefined;
  /** Kept for the audit log only. */
  sent: SentBody | undefined;
  #stream: ReturnType<ApiResponse["stream"]> | undefined;

  constructor(inner: ApiResponse) {
    this.#inner = inner;
  }
  send(status: number, headers: Readonly<Record<string, string>>, body: Buffer | readonly Buffer[]): void {
    this.begun = true;
    this.code = status;
    if (this.audited !== undefined) this.sent = { headers, body };
    this.#inner.send(status, this.more === undefined ? headers : joinHeaders(headers, this.more), body);
  }
  stream(status: number, headers: Readonly<Record<string, string>>): ReturnType<ApiResponse["stream"]> {
    this.begun = true;
    this.code = status;
    this.audited?.started(status);
    this.#stream = this.#inner.stream(status, this.more === undefined ? headers : joinHeaders(headers, this.more));
    return this.#stream;
  }
  abort(): void {
    this.#stream?.destroy();
  }
}
