/** The text format of Prometheus, for series that are read when somebody asks. Pure. */

/** A series' labels. */
export type Labels = Readonly<Record<string, string>>;

/** A value of a family. */
export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
  /** Epoch milliseconds, where the value is older than the answer. */
  readonly at?: number;
}

const escaped = (value: string) => value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

/** `a="b",c="d"`. */
export function labelPairs(labels: Labels): string {
  return Object.entries(labels)
    .map(([key, text]) => `${key}="${escaped(text)}"`)
    .join(",");
}

/** One line of a family; `pairs` as `labelPairs` makes them. */
export function sampleLine(name: string, pairs: string, value: number, at?: number): string {
  return `${name}${pairs === "" ? "" : `{${pairs}}`} ${value}${at === undefined ? "" : ` ${at}`}\n`;
}

/** A family in Prometheus' text format; "" when it has no lines. */
export function familyText(name: string, type: "counter" | "gauge", help: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

/** The same of samples that are not written yet. */
export function family(name: string, type: "counter" | "gauge", help: string, samples: readonly Sample[]): string {
  const lines = samples.map(({ labels = {}, value, at }) => sampleLine(name, labelPairs(labels), value, at));
  return familyText(name, type, help, lines);
}
