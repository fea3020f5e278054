import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasCode } from "#pkg/util/index.ts";
import type { Layout } from "./layout.ts";

/** What a run of hack/up chose, so that the next one goes on with it and hack/down undoes exactly that. */
export interface Choices {
  /** The first node's. */
  readonly address: string;
  readonly name: string;
  readonly nodes?: number;
  /** First three numbers of the network of the nodes beyond the first. */
  readonly network?: string;
  /** Directory of another containerd than the installed one. */
  readonly binaries?: string;
  /** Socket of the first node's runtime, once it answers. */
  readonly containerd?: string;
}

const fileOf = (layout: Layout): string => join(layout.dataDir, "up.json");

export function remember(layout: Layout, choices: Choices): void {
  mkdirSync(layout.dataDir, { recursive: true, mode: 0o755 });
  writeFileSync(fileOf(layout), `${JSON.stringify(choices, undefined, 2)}\n`);
}

/** The choices of the last run; undefined when hack/up has not run with this data directory. */
export function recall(layout: Layout): Choices | undefined {
  try {
    return JSON.parse(readFileSync(fileOf(layout), "utf8")) as Choices;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
