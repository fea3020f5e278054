import type { Level } from "./levels.ts";
import type { Traffic } from "./traffic.ts";

const PREFIX = "apiserver_flowcontrol_";
const quoted = (value: string): string => JSON.stringify(value);

/** Prometheus text about levels and what passes through them, under upstream's names. */
export function renderFlowMetrics(levels: readonly Level[], traffic: readonly Traffic[]): string {
  const lines: string[] = [];
  const series = (name: string, type: string, help: string, values: readonly string[]): void => {
    if (values.length === 0) return;
    lines.push(`# HELP ${PREFIX}${name} ${help}`, `# TYPE ${PREFIX}${name} ${type}`, ...values);
  };
  const ofLevels = (name: string, help: string, valueOf: (level: Level) => number): void =>
    series(
      name,
      "gauge",
      help,
      levels.map((level) => `${PREFIX}${name}{priority_level=${quoted(level.name)}} ${valueOf(level)}`),
    );
  const labels = ({ schema, level }: Traffic): string =>
    `flow_schema=${quoted(schema)},priority_level=${quoted(level)}`;
  const ofTraffic = (name: string, type: string, help: string, valueOf: (own: Traffic) => number): void =>
    series(
      name,
      type,
      help,
      traffic.map((own) => `${PREFIX}${name}{${labels(own)}} ${valueOf(own)}`),
    );
  const lent = (level: Level): number => level.nominal - Math.min(level.lendable, level.nominal);

  ofLevels("nominal_limit_seats", "Nominal number of execution seats of a level.", ({ nominal }) => nominal);
  ofLevels("lower_limit_seats", "Seats of a level when others borrow all that it lends.", lent);
  ofLevels("upper_limit_seats", "Seats of a level when it borrows all that it may.", (level) =>
    Math.min(
      level.nominal + level.borrowable,
      levels.reduce((sum, { nominal }) => sum + nominal, 0),
    ),
  );
  ofLevels("current_limit_seats", "Seats of a level with those it has borrowed.", ({ nominal, inUse, exempt }) =>
    exempt ? nominal : Math.max(nominal, inUse),
  );
  ofTraffic("dispatched_requests_total", "counter", "Requests that were let in.", (own) => own.dispatched);
  series(
    "rejected_requests_total",
    "counter",
    "Requests that were turned away.",
    traffic.flatMap((own) =>
      Array.from(
        own.rejected,
        ([reason, count]) => `${PREFIX}rejected_requests_total{${labels(own)},reason=${quoted(reason)}} ${count}`,
      ),
    ),
  );
  ofTraffic("current_inqueue_requests", "gauge", "Requests that wait.", (own) => own.waiting);
  ofTraffic("current_inqueue_seats", "gauge", "Seats that waiting requests need.", (own) => own.waitingSeats);
  ofTraffic("current_executing_requests", "gauge", "Requests being served.", (own) => own.executing);
  ofTraffic("current_executing_seats", "gauge", "Seats that requests being served take.", (own) => own.executingSeats);
  const waits = "request_wait_duration_seconds";
  series(
    waits,
    "histogram",
    "How long requests waited in their queue.",
    traffic.flatMap((own) => own.waitLines(PREFIX + waits)),
  );
  return `${lines.join("\n")}\n`;
}
