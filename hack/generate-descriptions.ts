/**
 * Writes dist/openapi-descriptions.json: what `kubectl explain` shows, taken from the type declarations in the npm packages
 * kubernetes-models and @kubernetes-models/apimachinery, of what these leave out (versions that are off) and of parameters
 * from @kubernetes/client-node. Not committed; the API server does without when it is absent.
 *
 * Its form is Descriptions of pkg/apiserver/openapi/schemas.ts.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { definitions } from "#pkg/api/index.ts";

type Texts = Record<string, string>;
type Enums = Record<string, string[]>;

const root = join(import.meta.dirname, "..");
const modules = join(root, "node_modules");
const models = join(modules, "kubernetes-models");
const otherModels = join(modules, "@kubernetes/client-node/dist/gen/models");
const target = process.argv[2] ?? join(root, "dist/openapi-descriptions.json");

const COMMENT = String.raw`/\*\*\n((?:\s*\*(?!/).*\n)*)\s*\*/\n`;
const BODY = String.raw`export (?:interface|declare class) \w+ [^\n]*\{\n([\s\S]*?)\n\}`;
const DECLARATION = new RegExp(`(?:${COMMENT})?${BODY}`);
const TYPE = new RegExp(`${COMMENT}export (?:declare )?type`);
const MEMBER = new RegExp(`(?:${COMMENT})? {4}["']?([^"'?:\n]+)["']?\\??: (.*);`, "g");
const CHOICE = /^(?:Array<)?"[^"]*"(?: \| "[^"]*")*>?$/;

/** The package of the other models, and that of parameters, join paragraphs by two spaces. */
const paragraphs = (text: string): string => text.replaceAll(/(?<=\S) {2}(?=\S)/g, "\n\n");

function textOf(comment: string): string {
  return comment
    .split("\n")
    .map((line) => line.replace(/^\s*\*\s?/, ""))
    .join("\n")
    .trim()
    .replace(/\n@deprecated$/, "")
    .replaceAll(/\\(['"*/\\])/g, "$1")
    .replaceAll("*_/", "*/");
}

/** Where the declaration of a definition is: io.k8s.api.rbac.v1.Role is in rbac.authorization.k8s.io/v1/Role.d.ts. */
function declarationOf(definition: string): string {
  const [kind = "", version = "", group = ""] = definition.split(".").toReversed();
  const machinery = /^io\.k8s\.apimachinery\.pkg\.(.*)\.\w+$/.exec(definition)?.[1];
  if (machinery !== undefined)
    return join(modules, "@kubernetes-models/apimachinery", machinery.replaceAll(".", "/"), `${kind}.d.ts`);
  const folder = group === "core" ? "" : groups.find((name) => name === group || name.startsWith(`${group}.`));
  return join(models, folder ?? group, version, `${kind}.d.ts`);
}

const upper = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** io.k8s.api.core.v1.Event → V1Event or CoreV1Event, whichever the package of the other models has. */
function otherDeclarationOf(definition: string): string | undefined {
  const [kind = "", version = "", group = ""] = definition.split(".").toReversed();
  const candidates = [`${upper(group)}${upper(version)}${kind}`, `${upper(version)}${kind}`, kind];
  return candidates.map((name) => join(otherModels, `${name}.d.ts`)).find((file) => existsSync(file));
}

/** Names of members as the API spells them: the package of the other models renames what TypeScript cannot hold. */
function wireNames(declaration: string): Map<string, string> {
  const names = new Map<string, string>();
  const source = readFileSync(declaration.replace(/\.d\.ts$/, ".js"), "utf8");
  for (const [, name, wire] of source.matchAll(/"name": "([^"]+)",\s+"baseName": "([^"]+)"/g)) names.set(name!, wire!);
  return names;
}

function describe(file: string): { texts: Texts; enums: Enums } {
  const source = readFileSync(file, "utf8");
  const [, about = TYPE.exec(source)?.[1], body = ""] = DECLARATION.exec(source) ?? [];
  const texts: Texts = about === undefined ? {} : { "": textOf(about) };
  const enums: Enums = {};
  for (const [, comment, name = "", type = ""] of `${body}\n`.matchAll(MEMBER)) {
    if (comment !== undefined) texts[name] = textOf(comment);
    if (CHOICE.test(type) && name !== "apiVersion" && name !== "kind")
      enums[name] = Array.from(type.matchAll(/"([^"]*)"/g), ([, value]) => value!);
  }
  return { texts, enums };
}

function describeOther(file: string): Texts {
  const wire = wireNames(file);
  const { texts } = describe(file);
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [wire.get(name) ?? name, paragraphs(text)]));
}

const ENTITIES: Readonly<Record<string, string>> = { quot: '"', lt: "<", gt: ">", amp: "&" };

function unescaped(text: string): string {
  return text.replaceAll(/\\?&(#x?)?(\w+);/g, (entity, base: string | undefined, word: string) =>
    base === undefined
      ? (ENTITIES[word] ?? entity)
      : String.fromCodePoint(Number.parseInt(word, base === "#x" ? 16 : 10)),
  );
}

/** The kind of options of an operation, as far as its texts are of its own. */
function optionsOf(operation: string, body: string): string {
  if (operation.endsWith("PodLog")) return "PodLogOptions";
  if (operation.includes("ApiPatch")) return "PatchOptions";
  return /\* name of the (\w+Options)\n/.exec(body)?.[1] ?? "parameters";
}

/** What operations take beside an object, by the kind of options; "parameters" is what is the same for all kinds. */
function describeParameters(): Record<string, Texts> {
  const source = readFileSync(join(modules, "@kubernetes/client-node/dist/gen/types/ObjectParamAPI.d.ts"), "utf8");
  const described: Record<string, Texts> = { parameters: {} };
  for (const [, operation = "", body = ""] of source.matchAll(/export interface (\w+)Request \{\n([\s\S]*?)\n\}/g)) {
    const own = optionsOf(operation, body);
    const texts = (described[own] ??= {});
    for (const [, comment = "", name = ""] of body.matchAll(
      /\/\*\*\n\s*\* (.*)\n[\s\S]*?\*\/\n {4}'?_?(\w+)'?\??: /g,
    )) {
      const text = unescaped(comment);
      texts[name] ??= own === "parameters" ? paragraphs(text) : text;
    }
  }
  return described;
}

const groups = readdirSync(models).sort();
const texts: Record<string, Texts> = describeParameters();
const enums: Record<string, Enums> = {};
const missing: string[] = [];
for (const name of Object.keys(definitions)) {
  const file = declarationOf(name);
  const other = otherDeclarationOf(name);
  const described = existsSync(file) ? describe(file) : { texts: {}, enums: {} };
  // The first source says nothing of apiVersion and kind.
  texts[name] = { ...(other === undefined ? {} : describeOther(other)), ...described.texts };
  if (Object.keys(described.enums).length > 0) enums[name] = described.enums;
  if (Object.keys(texts[name]).length === 0) missing.push(name);
}
mkdirSync(dirname(target), { recursive: true });
writeFileSync(target, JSON.stringify({ texts, enums }));
console.log(`${Object.keys(texts).length} definitions described, ${missing.length} without a model`);
