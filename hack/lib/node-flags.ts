export type ProgramName = "kubits-master" | "kubits-node";

/**
 * How Node.js is started for each program. In the master what a request leaves behind should be gone before the young
 * generation is full, or it is copied, and copied again into the old one: with 32 MiB a write with a large body costs a
 * tenth less, and the idle master has 2 MiB more. A node agent shares its machine with pods and is idle most of the time: with
 * a small young generation, and an old one that cannot grow far before it is collected, what a burst of pods leaves
 * behind does not stay (about half the memory, for a little more work during the burst). Optimizing for size, V8 gives
 * back pages that a collection has emptied instead of keeping them: another 12 MiB. The agent itself asks for a collection when it
 * has come to rest.
 */
const NODE_FLAGS: Readonly<Record<ProgramName, readonly string[]>> = {
  "kubits-master": ["--max-semi-space-size=32"],
  "kubits-node": ["--max-semi-space-size=2", "--max-old-space-size=512", "--optimize-for-size", "--expose-gc"],
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
