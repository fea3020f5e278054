import { pino } from "pino";
import type { Logger } from "#pkg/util/index.ts";

export interface LoggingOptions {
  readonly component: string;
  readonly verbosity: number;
  readonly format: string;
}

/** pino in the shape of Kubernetes' JSON logs: ts (milliseconds), v (verbosity), msg. Secrets are redacted. */
export function createLogger(options: LoggingOptions): Logger {
  const text = options.format === "text";
  return pino(
    {
      level: options.verbosity >= 4 ? "debug" : "info",
      base: { component: options.component },
      messageKey: "msg",
      timestamp: () => `,"ts":${Date.now()}`,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: ["token", "*.token", "password", "*.password", "authorization", "*.authorization"],
        censor: "[redacted]",
      },
    },
    text ? textDestination() : pino.destination({ dest: 1, sync: true }),
  );
}

function textDestination(): { write(line: string): void } {
  return {
    write(line) {
      const { level, ts, msg, component, ...fields } = JSON.parse(line) as Record<string, unknown>;
      const details = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
      const head = `${new Date(Number(ts)).toISOString()} ${String(level).toUpperCase()} ${String(component)}`;
      process.stdout.write(`${[head, String(msg), ...details].join(" ")}\n`);
    },
  };
}
