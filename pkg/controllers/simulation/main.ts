/** The program behind hack/simulate. */
import { availableParallelism } from "node:os";
import { parseCommandLine } from "#pkg/util/index.ts";
import { runSeeds, seedsFrom } from "./seeds.ts";

const HELP = `Usage: hack/simulate [--seeds N] [--from S] [--threads T] [--max-failures F]

Runs N histories (default 1000) of a simulated cluster: the real API server, all controllers and hollow nodes in one
process under one clock, with lost requests, conflicts, broken and late watches, crashes, second leaders, silent nodes,
clock jumps and edits by hand. The seeds S to S+N-1 (default from 1) say what happens; the same seed makes the same history.
Ends with 1 when a history ends badly, after having printed it and how to replay it; stops after F (default 10) of them.`;

const { values } = parseCommandLine("hack/simulate", {
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    threads: { type: "string", default: String(availableParallelism()) },
    "max-failures": { type: "string", default: "10" },
    help: { type: "boolean", short: "h", default: false },
  },
});

function number(name: "seeds" | "from" | "threads" | "max-failures"): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`hack/simulate: --${name} must be a positive number`);
  process.exit(2);
}

if (values.help) {
  console.log(HELP);
} else {
  const seeds = number("seeds");
  const startedAt = performance.now();
  let done = 0;
  let failed = 0;
  const report = () => {
    const seconds = (performance.now() - startedAt) / 1000;
    console.log(`${done} of ${seeds} seeds, ${failed} failed, ${(done / seconds).toFixed(1)} seeds/s`);
  };
  await runSeeds(seedsFrom(number("from"), seeds), {
    threads: number("threads"),
    maxFailures: number("max-failures"),
    onResult: ({ seed, failure, digest }) => {
      done++;
      if (failure !== undefined) {
        failed++;
        console.log(`\n${failure}\n`);
      } else if (seeds === 1) console.log(`seed ${seed} ended well, its writes have the digest ${digest}`);
      if (done % 500 === 0 && done < seeds) report();
    },
  });
  report();
  process.exitCode = failed > 0 ? 1 : 0;
}
