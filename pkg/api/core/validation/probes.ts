import { isHttpHeaderName } from "#pkg/apimachinery/index.ts";
import type {
  Container,
  ExecAction,
  HTTPGetAction,
  LifecycleHandler,
  Probe,
  TCPSocketAction,
} from "../../types/core-v1.ts";
import {
  allInvalid,
  type FieldError,
  forbidden,
  invalid,
  nonNegative,
  oneOf,
  portNumberOrName,
  required,
} from "../../validation/rules.ts";

interface Handler {
  exec?: ExecAction;
  httpGet?: HTTPGetAction;
  tcpSocket?: TCPSocketAction;
  grpc?: { port: number };
  sleep?: { seconds: number };
}

function validateHttpGet(action: HTTPGetAction, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if ((action.path ?? "") === "") errors.push(required(`${path}.path`));
  errors.push(...portNumberOrName(action.port, `${path}.port`));
  errors.push(...oneOf(action.scheme, ["HTTP", "HTTPS"], `${path}.scheme`));
  for (const { name = "" } of action.httpHeaders ?? []) {
    errors.push(...allInvalid(`${path}.httpHeaders`, name, isHttpHeaderName(name)));
  }
  return errors;
}

/** Exactly one kind of handler. `graceSeconds` bounds how long a sleep may last. */
function validateHandler(handler: Handler, path: string, graceSeconds?: number): FieldError[] {
  const errors: FieldError[] = [];
  let count = 0;
  const first = (name: string): boolean => {
    if (count > 0) {
      errors.push(forbidden(`${path}.${name}`, "may not specify more than 1 handler type"));
      return false;
    }
    count++;
    return true;
  };
  if (handler.exec !== undefined && first("exec") && (handler.exec.command ?? []).length === 0) {
    errors.push(required(`${path}.exec.command`));
  }
  if (handler.httpGet !== undefined && first("httpGet"))
    errors.push(...validateHttpGet(handler.httpGet, `${path}.httpGet`));
  if (handler.tcpSocket !== undefined && first("tcpSocket")) {
    errors.push(...portNumberOrName(handler.tcpSocket.port, `${path}.tcpSocket.port`));
  }
  if (handler.grpc !== undefined && first("grpc")) {
    errors.push(...portNumberOrName(handler.grpc.port ?? 0, `${path}.grpc.port`));
  }
  if (handler.sleep !== undefined && first("sleep")) {
    const { seconds = 0 } = handler.sleep;
    const most = graceSeconds ?? 30;
    if (seconds < 0 || seconds > most) {
      const why = `must be non-negative and less than terminationGracePeriodSeconds (${most})`;
      errors.push(invalid(`${path}.sleep`, seconds, why));
    }
  }
  if (count === 0) errors.push(required(path, "must specify a handler type"));
  return errors;
}

function validateProbe(probe: Probe, path: string): FieldError[] {
  const errors = [
    ...validateHandler(probe, path),
    ...nonNegative(probe.initialDelaySeconds, `${path}.initialDelaySeconds`),
    ...nonNegative(probe.timeoutSeconds, `${path}.timeoutSeconds`),
    ...nonNegative(probe.periodSeconds, `${path}.periodSeconds`),
    ...nonNegative(probe.successThreshold, `${path}.successThreshold`),
    ...nonNegative(probe.failureThreshold, `${path}.failureThreshold`),
  ];
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0) {
    errors.push(invalid(`${path}.terminationGracePeriodSeconds`, grace, "must be greater than 0"));
  }
  return errors;
}

function validateSingleSuccess(probe: Probe | undefined, path: string): FieldError[] {
  if (probe === undefined) return [];
  const errors = validateProbe(probe, path);
  if (probe.successThreshold !== 1)
    errors.push(invalid(`${path}.successThreshold`, probe.successThreshold, "must be 1"));
  return errors;
}

const validateLifecycleHandler = (
  handler: LifecycleHandler | undefined,
  path: string,
  graceSeconds: number | undefined,
): FieldError[] => (handler === undefined ? [] : validateHandler(handler, path, graceSeconds));

/** Lifecycle hooks and probes of a container that runs beside others. */
export function validateLifecycle(
  container: Container,
  path: string,
  graceSeconds: number | undefined,
  windows: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  const { lifecycle, livenessProbe, readinessProbe, startupProbe } = container;
  if (lifecycle !== undefined) {
    errors.push(...validateLifecycleHandler(lifecycle.postStart, `${path}.lifecycle.postStart`, graceSeconds));
    errors.push(...validateLifecycleHandler(lifecycle.preStop, `${path}.lifecycle.preStop`, graceSeconds));
    if (lifecycle.stopSignal !== undefined) errors.push(...validateStopSignal(lifecycle.stopSignal, path, windows));
  }
  errors.push(...validateSingleSuccess(livenessProbe, `${path}.livenessProbe`));
  if (readinessProbe !== undefined) {
    errors.push(...validateProbe(readinessProbe, `${path}.readinessProbe`));
    const grace = readinessProbe.terminationGracePeriodSeconds;
    if (grace !== undefined) {
      const at = `${path}.readinessProbe.terminationGracePeriodSeconds`;
      errors.push(invalid(at, grace, "must not be set for readinessProbes"));
    }
  }
  errors.push(...validateSingleSuccess(startupProbe, `${path}.startupProbe`));
  return errors;
}

const WINDOWS_SIGNALS = ["SIGKILL", "SIGTERM"];
const SIGNAL = /^SIG(?:[A-Z]+[0-9]?|RTM(?:IN|AX)(?:[+-][0-9]{1,2})?|STKFLT)$/;

function validateStopSignal(signal: string, path: string, windows: boolean): FieldError[] {
  const at = `${path}.lifecycle.stopSignal`;
  if (windows) return oneOf(signal, WINDOWS_SIGNALS, at);
  return SIGNAL.test(signal) ? [] : [invalid(at, signal, "must be the name of a signal")];
}
