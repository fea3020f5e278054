/**
 * How components talk to the API: `createClient(transport, …)` for requests, `createInformerFactory` for cached reads,
 * `startReconciler` with a `RateLimitingQueue` for control loops.
 *
 * Transports: `http2Transport({ ...(await loadKubeconfig(path)), clock })` over the network, `directTransport(handler)`
 * within a thread, `portTransport(port)` from another thread of the same process (its server half is `servePort` in
 * `#pkg/apiserver/http/port-server.ts`). All carry the same requests, so authentication, authorization and admission
 * apply alike. Objects in informer caches are shared: nobody may change them.
 */
export { ConnectionError, DONE, TerminalError } from "./contract.ts";
export type {
  Client,
  Controller,
  DeleteOptions,
  Draft,
  EventHandler,
  EventRecorder,
  EventReport,
  InformerFactory,
  InformerOptions,
  List,
  Lister,
  ListOptions,
  PatchOptions,
  PatchType,
  ReconcileContext,
  Reconciler,
  RequestOptions,
  Result,
  SeriesRecorder,
  SharedInformer,
  WatchEvent,
  WatchOptions,
  WorkQueue,
} from "./contract.ts";
export { type ClientOptions, createClient } from "./client.ts";
export { EventInterner } from "./event-interner.ts";
export type { StreamedResponse, Transport, TransportRequest, TransportResponse } from "./transport/transport.ts";
export { directTransport } from "./transport/direct.ts";
export { observedTransport, type RequestObserver } from "./transport/observed.ts";
export { RequestCounts } from "./transport/request-counts.ts";
export type { RequestHandler } from "./transport/handler.ts";
export { http2Transport, type Http2TransportOptions } from "./transport/http2.ts";
export type { ConnectionConfig } from "./transport/credentials.ts";
export { portTransport, type PortTransport } from "./transport/port.ts";
export { BatchWriter, MAX_UNCONSUMED_BYTES, readBatch } from "./transport/port-protocol.ts";
export type { ClientFrame, PortBatch, ServerFrame } from "./transport/port-protocol.ts";
export { type KubeconfigContext, loadKubeconfig, parseKubeconfig } from "./kubeconfig.ts";
export {
  createInformerFactory,
  createInformerPool,
  type InformerFactoryDeps,
  type InformerPool,
} from "./informer/factory.ts";
export type { BackoffOptions } from "./queue/backoff.ts";
export { DelayedSet } from "./queue/delayed-set.ts";
export { type MeasuredQueue, QueueMetrics } from "./queue/queue-metrics.ts";
export { RateLimitingQueue, type RateLimitingQueueOptions } from "./queue/rate-limiting-queue.ts";
export { type ReconcileLoopOptions, startReconciler } from "./queue/reconcile-loop.ts";
export { Expectations } from "./expectations.ts";
export { createEventRecorder, type EventRecorderOptions } from "./events/recorder.ts";
export { createSeriesRecorder, type SeriesRecorderOptions } from "./events/series-recorder.ts";
export { DelegatedAuth, type DelegatedAuthDeps, type ReviewedAttributes } from "./delegated-auth.ts";
export { LeaderElector, type LeaderElectorOptions } from "./leader-election.ts";
export { retryOnConflict, waitFor, type WaitOptions, WaitTimeoutError } from "./wait.ts";
