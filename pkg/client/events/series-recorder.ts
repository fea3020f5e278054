import { eventsV1Events } from "#pkg/api/refs.ts";
import type { Event } from "#pkg/api/types/events-v1.ts";
import { formatMicroTime, growingLru } from "#pkg/util/index.ts";
import type { Draft, EventReport, SeriesRecorder } from "../contract.ts";
import { type EventRecord, EventWriter, type EventWriterOptions, referenceTo, truncate } from "./writer.ts";

export interface SeriesRecorderOptions extends EventWriterOptions {
  /** The machine; with the controller's name it tells which instance of it reports. */
  readonly host: string;
}

const MAX_RECORDS = 4096;
/** What has not happened again for so long is another event when it does (upstream: finishTime). */
const SERIES_ENDS_MS = 360_000;

interface Series extends EventRecord<Event> {
  /** Monotonic time. */
  observedAt: number;
}

/** Writes events.k8s.io/v1 Events in the background, equal ones as a series of one. */
export function createSeriesRecorder(options: SeriesRecorderOptions): SeriesRecorder {
  return new BackgroundSeriesRecorder(options);
}

class BackgroundSeriesRecorder implements SeriesRecorder {
  readonly #options: SeriesRecorderOptions;
  readonly #known = growingLru<string, Series>(MAX_RECORDS);
  readonly #writer: EventWriter<Event>;

  constructor(options: SeriesRecorderOptions) {
    this.#options = options;
    this.#writer = new EventWriter(options, { resource: eventsV1Events, changes: ({ series }) => ({ series }) });
  }

  report(report: EventReport): void {
    const { clock } = this.#options;
    const now = clock.monotonic();
    const draft = this.#draft(report);
    const key = keyOfSeries(draft);
    const known = this.#known.get(key);
    if (known !== undefined && now - known.observedAt < SERIES_ENDS_MS) {
      known.observedAt = now;
      const count = (known.event.series?.count ?? 1) + 1;
      known.event = { ...known.event, series: { count, lastObservedTime: formatMicroTime(clock.now()) } };
      this.#writer.enqueue(known);
      return;
    }
    const series: Series = { event: draft, created: false, dirty: false, queuedAt: 0, observedAt: now };
    this.#known.set(key, series);
    this.#writer.enqueue(series);
  }

  #draft({ regarding, related, type, reason, action, note, controller }: EventReport): Draft<Event> {
    const { clock, host } = this.#options;
    const { name = "", namespace = "default" } = regarding.metadata;
    return {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { name: this.#writer.nameFor(name), namespace },
      eventTime: formatMicroTime(clock.now()),
      reportingController: controller,
      reportingInstance: `${controller}-${host}`,
      action,
      reason,
      regarding: referenceTo(regarding),
      ...(related === undefined ? {} : { related: referenceTo(related) }),
      note: truncate(note),
      type,
    };
  }
}

/** All but what was said: a pod that fits nowhere is one series, though the number of nodes changes meanwhile. */
function keyOfSeries({ type, action, reason, reportingController, regarding, related }: Draft<Event>): string {
  return JSON.stringify([type, action, reason, reportingController, regarding, related]);
}
