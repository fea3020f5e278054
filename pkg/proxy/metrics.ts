import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Family } from "./model/types.ts";

const exponential = (start: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => start * 2 ** index);

/** The proxy's metrics under upstream's names. One object per proxy: there is no global registry. */
export class ProxyMetrics {
  readonly registry = new Registry();
  readonly syncSeconds = this.#histogram("sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds");
  readonly fullSyncSeconds = this.#histogram(
    "sync_full_proxy_rules_duration_seconds",
    "SyncProxyRules latency in seconds for full resyncs",
  );
  readonly partialSyncSeconds = this.#histogram(
    "sync_partial_proxy_rules_duration_seconds",
    "SyncProxyRules latency in seconds for partial resyncs",
  );
  readonly programmingSeconds = this.#histogram(
    "network_programming_duration_seconds",
    "In cluster network programming latency in seconds",
  );
  readonly lastSync = this.#gauge("sync_proxy_rules_last_timestamp_seconds", "The last time proxy rules were synced");
  readonly lastQueued = this.#gauge(
    "sync_proxy_rules_last_queued_timestamp_seconds",
    "The last time a sync of proxy rules was queued",
  );
  readonly rules = this.#gauge("sync_proxy_rules_iptables_total", "Number of proxy rules written for services");
  readonly bytes = this.#counter("sync_proxy_rules_bytes_total", "Bytes handed to the kernel's tools");
  readonly failures = this.#counter(
    "sync_proxy_rules_iptables_restore_failures_total",
    "Cumulative proxy rule restore failures",
  );
  readonly serviceChanges = this.#counter("sync_proxy_rules_service_changes_total", "Cumulative service changes");
  readonly endpointChanges = this.#counter("sync_proxy_rules_endpoint_changes_total", "Cumulative endpoint changes");
  readonly repairs = this.#counter(
    "sync_proxy_rules_repairs_total",
    "Times that rules changed by others were repaired",
  );
  readonly conntrackDeleted = this.#counter(
    "conntrack_reconciler_deleted_entries_total",
    "Cumulative conntrack flows deleted",
  );
  readonly healthz = this.#byCode("proxy_healthz_total", "Cumulative proxy healthz HTTP status");
  readonly livez = this.#byCode("proxy_livez_total", "Cumulative proxy livez HTTP status");

  #histogram(name: string, help: string): Histogram<"ip_family"> {
    return new Histogram({
      name: `kubeproxy_${name}`,
      help,
      labelNames: ["ip_family"],
      buckets: exponential(0.001, 18),
      registers: [this.registry],
    });
  }
  #gauge(name: string, help: string): Gauge<"ip_family"> {
    return new Gauge({ name: `kubeproxy_${name}`, help, labelNames: ["ip_family"], registers: [this.registry] });
  }
  #counter(name: string, help: string): Counter<"ip_family"> {
    return new Counter({ name: `kubeproxy_${name}`, help, labelNames: ["ip_family"], registers: [this.registry] });
  }
  #byCode(name: string, help: string): Counter<"code"> {
    return new Counter({ name: `kubeproxy_${name}`, help, labelNames: ["code"], registers: [this.registry] });
  }

  /** One finished sync: `seconds` long, of everything or of a difference. */
  synced(family: Family, full: boolean, seconds: number, nowSeconds: number): void {
    const labels = { ip_family: family };
    this.syncSeconds.observe(labels, seconds);
    (full ? this.fullSyncSeconds : this.partialSyncSeconds).observe(labels, seconds);
    this.lastSync.set(labels, nowSeconds);
  }
}
