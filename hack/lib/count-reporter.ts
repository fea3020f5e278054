import type { TestEvent } from "node:test/reporters";

/** What a run of tests came to. */
export interface TestCounts {
  passed: number;
  failed: number;
  skipped: number;
  /** Files with a failed test, relative or absolute as the runner was given them. */
  failedFiles: string[];
}

/** A node:test reporter that writes one JSON line: how many tests passed, failed and were skipped. */
export default async function* countReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const counts: TestCounts = { passed: 0, failed: 0, skipped: 0, failedFiles: [] };
  for await (const event of source) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    if (event.data.details.type === "suite") continue;
    if (event.data.skip !== undefined || event.data.todo !== undefined) counts.skipped++;
    else if (event.type === "test:pass") counts.passed++;
    else {
      counts.failed++;
      const file = event.data.file ?? event.data.name;
      if (!counts.failedFiles.includes(file)) counts.failedFiles.push(file);
    }
  }
  yield `${JSON.stringify(counts)}\n`;
}
