import { setTimeout as delay } from "node:timers/promises";
import { inParallel } from "./ceiling.ts";
import { using } from "./interruptible.ts";
import { type BenchServer, startServer } from "./server.ts";

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const GROUP = "bench.example.com";
/** As many fields as an operator's kind has that embeds a pod's template. */
const FIELDS = 60;
const HUGE_BYTES = 1_000_000;

interface Listed {
  readonly items: readonly { status?: { conditions?: { type: string; status: string }[] } }[];
}
interface Discovered {
  readonly items: readonly { versions: { resources: { resource: string }[] }[] }[];
}

/** A schema of so many described fields, each an object with a bounded list, and a rule per ten of them. */
function schemaOf(fields: number): object {
  const member = (index: number) => ({
    type: "object",
    description: `Field ${index} of many. It says what the operator makes of one part of its object, at some length.`,
    properties: {
      name: { type: "string", maxLength: 63, pattern: "^[a-z0-9-]*$" },
      weight: { type: "integer", minimum: 0, maximum: 100, default: 1 },
      tags: { type: "array", maxItems: 8, items: { type: "string", maxLength: 32 } },
    },
    ...(index % 10 === 0 ? { "x-kubernetes-validations": [{ rule: "!has(self.weight) || self.weight < 101" }] } : {}),
  });
  const properties = Object.fromEntries(Array.from({ length: fields }, (_, index) => [`field${index}`, member(index)]));
  return { type: "object", properties: { spec: { type: "object", properties } } };
}

function definitionOf(index: number, schema: object): object {
  const plural = `things${index}`;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: "Namespaced",
      names: { plural, singular: `thing${index}`, kind: `Thing${index}`, listKind: `Thing${index}List` },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  };
}

const thing = (index: number, name: string) => ({
  apiVersion: `${GROUP}/v1`,
  kind: `Thing${index}`,
  metadata: { name },
  spec: { field0: { name: "a", tags: ["x"] }, field10: { weight: 7 } },
});

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const begun = performance.now();
  const result = await work();
  return { ms: performance.now() - begun, result };
}

/** Asks again and again until the answer satisfies; milliseconds until then. */
async function until(probe: () => Promise<boolean>): Promise<number> {
  const { ms } = await timed(async () => {
    for (let attempt = 0; attempt < 3000; attempt++) {
      if (await probe()) return;
      await delay(10);
    }
    throw new Error("it did not happen within 30 s");
  });
  return ms;
}

function published(server: BenchServer, plurals: readonly string[]): Promise<number> {
  return until(async () => {
    const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    const { items } = (await server.client.raw("GET", "/apis", undefined, { accept })) as Discovered;
    const known = items.flatMap(({ versions }) =>
      versions.flatMap(({ resources }) => resources.map((own) => own.resource)),
    );
    const served = new Set(known);
    return plurals.every((plural) => served.has(plural));
  });
}

/** What custom resource definitions cost: many of them, and a huge one. */
export function measureDefinitions(count: number): Promise<void> {
  return using(
    () => startServer({ components: "apiserver" }),
    (server) => server.stop(),
    (server) => measureOn(server, count),
  );
}

async function measureOn(server: BenchServer, count: number): Promise<void> {
  const say = (what: string, text: string): void => console.log(`${what.padEnd(50)}${text}`);
  const openApi = async (title: string): Promise<void> => {
    for (const path of ["/openapi/v2", `/openapi/v3/apis/${GROUP}/v1`]) {
      const cpu = server.cpuSeconds();
      const { ms, result } = await timed(() => server.client.raw("GET", path));
      const size = (JSON.stringify(result).length / 1e6).toFixed(1);
      say(
        `${title}, ${path}`,
        `${ms.toFixed(0)} ms, ${((server.cpuSeconds() - cpu) * 1000).toFixed(0)} ms CPU, ${size} MB`,
      );
    }
  };
  const objects = async (title: string, index: number): Promise<void> => {
    const path = `/apis/${GROUP}/v1/namespaces/default/things${index}`;
    const cpu = server.cpuSeconds();
    const { ms } = await timed(() => inParallel(500, 8, (i) => server.client.raw("POST", path, thing(index, `t${i}`))));
    say(title, `${(500_000 / ms).toFixed(0)}/s, ${(((server.cpuSeconds() - cpu) * 1e6) / 500).toFixed(0)} us CPU`);
  };
  const before = { memory: server.memoryMiB(), cpu: server.cpuSeconds() };
  const schema = schemaOf(FIELDS);
  const size = JSON.stringify(schema).length;
  const { ms } = await timed(() =>
    inParallel(count, 8, (i) => server.client.raw("POST", CRDS, definitionOf(i, schema))),
  );
  const established = await until(async () => {
    const { items } = (await server.client.raw("GET", CRDS)) as Listed;
    const done = items.filter(({ status }) =>
      status?.conditions?.some(({ type, status: value }) => type === "Established" && value === "True"),
    );
    return done.length === count;
  });
  const shown = await published(
    server,
    Array.from({ length: count }, (_, i) => `things${i}`),
  );
  const cpu = (server.cpuSeconds() - before.cpu) * 1000;
  say(
    `${count} definitions of ${(size / 1000).toFixed(0)} kB`,
    `created in ${ms.toFixed(0)} ms, established ${established.toFixed(0)} ms later, discovered ${shown.toFixed(0)} ms later`,
  );
  const memory = server.memoryMiB() - before.memory;
  say(
    "",
    `${(cpu / count).toFixed(1)} ms CPU and ${((memory * 1024) / count).toFixed(0)} KiB each, ${memory.toFixed(0)} MiB in all`,
  );
  await openApi("first time");
  await openApi("again");
  await objects("objects of one of them", 0);

  const huge = schemaOf(Math.ceil(HUGE_BYTES / (size / FIELDS)));
  const start = { memory: server.memoryMiB(), cpu: server.cpuSeconds() };
  const made = await timed(() => server.client.raw("POST", CRDS, definitionOf(count, huge)));
  const found = await published(server, [`things${count}`]);
  say(
    `a definition of ${(JSON.stringify(huge).length / 1e6).toFixed(1)} MB`,
    `created in ${made.ms.toFixed(0)} ms, discovered ${found.toFixed(0)} ms later, ${((server.cpuSeconds() - start.cpu) * 1000).toFixed(0)} ms CPU, ${(server.memoryMiB() - start.memory).toFixed(0)} MiB`,
  );
  await openApi("with it");
  await objects("objects of it", count);
  const rest = server.cpuSeconds();
  await delay(5000);
  say(
    "at rest",
    `${(((server.cpuSeconds() - rest) / 5) * 100).toFixed(1)} % of a core, ${server.memoryMiB().toFixed(0)} MiB`,
  );
}
