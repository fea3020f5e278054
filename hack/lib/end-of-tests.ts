/**
 * Preloaded into every test file's process. A file whose tests and hooks are through and that does not end by itself (something
 * that a test started still runs) is ended from here, and named: it must not keep the whole run from ending. `--test-force-exit`
 * would do that at once, and lose what of the report has not gone down the pipe yet.
 */
import { subscribe } from "node:diagnostics_channel";
import { isMainThread } from "node:worker_threads";

const GRACE_MS = 5000;

function end(): void {
  const left = [...new Set(process.getActiveResourcesInfo())].join(", ");
  process.stderr.write(`${process.argv[1]} does not end by itself: ${left}\n`);
  // Behind everything that waits to be written.
  process.stdout.write("", () => process.exit());
}

// The runner itself loads this too, and so do threads that tests start.
if (process.env["NODE_TEST_CONTEXT"] !== undefined && isMainThread)
  subscribe("tracing:node.test:end", (message) => {
    if ((message as { name: string }).name === "<root>") setTimeout(end, GRACE_MS).unref();
  });
