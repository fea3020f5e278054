/**
 * The audit log: who did what, as audit.k8s.io/v1 events, one JSON line each.
 *
 * Wiring (cmd/master), when `--audit-log-path` is set:
 * ```ts
 * const file = new AuditLogFile({ path, maxSizeMiB, maxBackups, clock, log });
 * const policy = parseAuditPolicy(decodeYaml(readFileSync(policyFile, "utf8")).value);
 * createApiServer({ …, audit: new AuditRecorder({ policy, write: (line) => file.write(line), clock, random }) });
 * // and `await file.flush()` when stopping
 * ```
 */
export { AuditRecorder, type AuditRecorderDeps } from "./recorder.ts";
export { AuditLogFile, type AuditLogOptions } from "./log-file.ts";
export { type AuditLevel, type AuditPolicy, parseAuditPolicy } from "./policy.ts";
