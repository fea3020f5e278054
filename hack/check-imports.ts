/**
 * Proves the architecture's arrows: which module may import which, that modules are entered through their index.ts,
 * and that there is no cycle between modules. Prints each import that breaks a rule and fails.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const root = join(import.meta.dirname, "..");

/** What each module may import, besides itself. Tests may import anything that their module may, and fast-check. */
const BASE = ["util", "apimachinery", "api"];
const COMPONENT = [...BASE, "client", "config", "pki"];
const MAY_IMPORT: Record<string, readonly string[]> = {
  util: [],
  http2: ["util"],
  apimachinery: ["util"],
  api: ["util", "apimachinery"],
  config: ["util", "apimachinery"],
  pki: ["util", "apimachinery"],
  client: BASE,
  storage: [...BASE, "http2"],
  apiserver: [...COMPONENT, "storage", "http2"],
  controllers: COMPONENT,
  scheduler: COMPONENT,
  kubelet: COMPONENT,
  proxy: COMPONENT,
  network: COMPONENT,
  dns: COMPONENT,
  dashboard: COMPONENT,
  ingress: COMPONENT,
};
/** Leaf data that any module may name directly: wire types and resource references. */
const LEAVES = [/^pkg\/api\/types\//, /^pkg\/api\/refs\.ts$/, /^pkg\/api\/resource-ref\.ts$/];
/** What a node agent is made of. It starts without the API's declarations: they would be a tenth of its memory. */
const AGENT = ["util", "apimachinery", "config", "pki", "client", "kubelet", "proxy", "network", "dns"];
const DECLARATIONS = "pkg/api/index.ts";

const problems: string[] = [];
const edges = new Map<string, Set<string>>();

function moduleOf(file: string): string | undefined {
  return /^pkg\/([^/]+)\//.exec(file)?.[1];
}

/** The simulation joins the whole control plane in one process: test code, allowed to see every component. */
function isWholeSystemTest(file: string): boolean {
  return /\.(test|bench)\.ts$/.test(file) || file.includes("/simulation/") || file.includes("/testing/");
}

function resolveImport(from: string, specifier: string): string | undefined {
  if (specifier.startsWith("#")) return specifier.slice(1);
  if (specifier.startsWith(".")) return relative(root, resolve(root, dirname(from), specifier));
  return undefined;
}

for (const file of globSync("{cmd,pkg,hack,test-e2e}/**/*.{ts,tsx}", { cwd: root })) {
  const text = readFileSync(join(root, file), "utf8");
  const from = moduleOf(file);
  for (const [statement, specifier] of text.matchAll(/(?:(?:import type [^;]*?)?from|import)\s*\(?\s*"([^"]+)"/g)) {
    const target = resolveImport(file, specifier!);
    if (target === undefined || target.includes("$")) continue; // a package, or a template that writes imports
    if (!existsSync(join(root, target)) && !file.startsWith("hack/generate-"))
      problems.push(`${file}: ${specifier} does not exist`);
    const to = moduleOf(target);
    if (to === undefined) {
      if (from !== undefined) problems.push(`${file}: pkg/ may not import ${target}`);
      continue;
    }
    if (to === from || LEAVES.some((leaf) => leaf.test(target))) continue;
    if (!target.endsWith("/index.ts")) problems.push(`${file}: import ${to} through an index.ts, not ${target}`);
    if (from === undefined || isWholeSystemTest(file)) continue;
    if (target === DECLARATIONS && AGENT.includes(from) && !/^import( type|\s*\()/.test(statement))
      problems.push(`${file}: a node agent may only load ${target} when it needs it, by import()`);
    if (MAY_IMPORT[from] === undefined)
      problems.push(`${file}: module ${from} is not in the table of hack/check-imports.ts`);
    else if (!MAY_IMPORT[from].includes(to)) problems.push(`${file}: ${from} may not import ${to}`);
    edges.set(from, (edges.get(from) ?? new Set()).add(to));
  }
}

function findCycle(module: string, path: readonly string[]): string[] | undefined {
  if (path.includes(module)) return [...path.slice(path.indexOf(module)), module];
  for (const next of edges.get(module) ?? []) {
    const cycle = findCycle(next, [...path, module]);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
for (const module of edges.keys()) {
  const cycle = findCycle(module, []);
  if (cycle !== undefined) {
    problems.push(`modules import each other in a circle: ${cycle.join(" → ")}`);
    break;
  }
}

for (const problem of problems) console.error(problem);
console.log(
  problems.length === 0 ? "imports follow the architecture" : `${problems.length} imports break the architecture`,
);
if (problems.length > 0) process.exitCode = 1;
