/**
 * The API server: one handler through which every client goes, whatever its transport: parse, authenticate, impersonate,
 * authorize, route to the one generic registry (built-in kinds and custom resources alike), discovery, health or
 * metrics. `createResourceRegistry` opens storage first, so that authentication, authorization and admission can read
 * from it; `createApiServer` puts the rest around it. Nobody but cmd/ and tests imports this module.
 *
 * A request's way, folder by folder: `http/` (connections, encodings, answers), `pipeline.ts`, `authn/`, `audit/`,
 * `flowcontrol/` (its turn), `authz/`, then `registry/` (a file per verb: decode, default, admit, validate, store, represent) with
 * `admission/`, `allocation/` (cluster IPs and node ports) and `subresources/`; or `discovery/`, `openapi/`, `health/`,
 * `metrics/`; or `aggregation/`, for what another server answers. `extensions/` makes CustomResourceDefinitions into
 * resources of the registry. `bootstrap/` and `startup/` are what a server does on its own, `source/` is how the rest
 * reads stored objects at once, `reload/` follows configuration files. `contract.ts` has the interfaces between them.
 */
export type {
  AdmissionAttributes,
  AdmissionPlugin,
  ApiHandler,
  ApiRequest,
  ApiResponse,
  Attributes,
  Authenticator,
  Authorizer,
  Decision,
  ResponseStream,
} from "./contract.ts";
export { type ApiServer, type ApiServerDeps, createApiServer, createResourceRegistry } from "./server.ts";
export { servePort } from "./http/port-server.ts";
export type { Listener, ListenOptions, TlsOptions } from "./http/server.ts";
export type { RequestTarget } from "./http/target.ts";
export type { HealthCheck, HealthEndpoint } from "./health/health.ts";
export type { AuditSink, FallbackHandler, NonResourceContext, NonResourceHandler } from "./pipeline.ts";
export type { AdmissionChain, Allocator, Call, RestServices } from "./registry/call.ts";
export type { ConnectHandler } from "./registry/dispatch.ts";
export { ResourceRegistry } from "./registry/resource-registry.ts";
export type { Descriptions } from "./openapi/schemas.ts";
export type { ReviewContext, ReviewHandler } from "./review.ts";
export type { ServicesConfig } from "./startup/services.ts";
export type { ComponentProbe } from "./subresources/component-status.ts";
export { type VersionInfo, versionInfo } from "./version.ts";
export { loopbackClient } from "./startup/loopback.ts";
