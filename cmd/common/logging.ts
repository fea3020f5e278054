import { fstatSync } from "node:fs";
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

/** What syslog, and so the journal, calls the levels; it takes the number in front of a line for itself. */
const PRIORITIES: Readonly<Record<string, number>> = { debug: 7, info: 6, warn: 4, error: 3 };

/** Whether what we print goes straight to systemd's journal, which says so by device and inode. */
function printsToJournal(): boolean {
  const { dev, ino } = fstatSync(1);
  return process.env["JOURNAL_STREAM"] === `${dev}:${ino}`;
}

/** A line for people, from one of JSON; with its priority in front where it is for the journal. */
export function textLine(line: string, journal: boolean): string {
  const { level, ts, msg, component, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const details = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  const priority = journal ? `<${PRIORITIES[String(level)] ?? PRIORITIES["info"]}>` : "";
  const head = `${priority}${new Date(Number(ts)).toISOString()} ${String(level).toUpperCase()} ${String(component)}`;
  return [head, String(msg), ...details].join(" ");
}

function textDestination(): { write(line: string): void } {
  const journal = printsToJournal();
  return {
    write(line) {
      process.stdout.write(`${textLine(line, journal)}\n`);
    },
  };
}
