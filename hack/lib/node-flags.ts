export type ProgramName = "kubits-master" | "kubits-node";

/**
 * How Node.js is started for each program. In the master what a request leaves behind should be gone before the young
 * generation is full, or it is copied, and copied again into the old one: with 32 MiB a write with a large body costs a
 * tenth less, and the idle master has 2 MiB more. V8 would also mark the old generation of a master that has just started
 * four times while its first 7,000 objects are made, since it holds 20 MiB and has little more to grow into: that was a sixth
 * of their CPU time. And a request runs through many functions that it calls once, so they were compiled after some 900
 * requests: after 200 they know as much of their arguments, and the first thousands of writes cost a fifth less, those that
 * follow a tenth. A node agent shares its machine with pods and is idle most of the time. Its
 * young generation is as large as what pods that start leave behind is garbage before it is full, and its old one cannot grow
 * far before it is collected. Once the agent has come to rest it asks for a collection that gives everything back (see
 * cmd/node/memory.ts): always optimizing for size instead, V8 would collect five times as often during a burst of pods, which
 * costs a sixth more CPU time a pod, and keep more afterwards.
 */
const NODE_FLAGS: Readonly<Record<ProgramName, readonly string[]>> = {
  "kubits-master": [
    "--max-semi-space-size=32",
    "--initial-old-space-size=64",
    "--invocation-count-for-maglev=100",
    "--minimum-invocations-after-ic-update=100",
  ],
  "kubits-node": [
    "--max-semi-space-size=4",
    "--max-old-space-size=512",
    "--expose-gc",
    "--disable-warning=ExperimentalWarning", // of node:ffi, which cmd/node/memory.ts tries
  ],
};

/** In a node agent nine threads, mostly asleep, would each keep freed memory of their own: together they keep 5 MiB less. */
const ENVIRONMENT: Readonly<Record<ProgramName, readonly string[]>> = {
  "kubits-master": [],
  "kubits-node": ["MALLOC_ARENA_MAX=1"],
};

/** The words that start a program: with this Node.js, from this bundle. */
export function startCommand(name: ProgramName, node: string, bundle: string): string[] {
  const variables = ENVIRONMENT[name];
  return [...(variables.length === 0 ? [] : ["env", ...variables]), node, ...NODE_FLAGS[name], bundle];
}
