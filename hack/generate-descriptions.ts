/**
 * Writes dist/openapi-descriptions.json: what `kubectl explain` shows, taken from the doc comments of the type
 * declarations in the npm package @kubernetes/client-node. Not committed; the API server does without when it is absent.
 *
 * Form: { "<definition name>": { "": "<about the definition>", "<field>": "<about the field>" } }
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { definitions } from "#pkg/api/index.ts";

const root = join(import.meta.dirname, "..");
const models = join(root, "node_modules/@kubernetes/client-node/dist/gen/models");
const target = process.argv[2] ?? join(root, "dist/openapi-descriptions.json");

const COMMENT = String.raw`/\*\*\n((?:\s*\*(?!/).*\n)*)\s*\*/\n`;
const CLASS = new RegExp(`${COMMENT}export declare class \\w+ \\{`);
const MEMBER = new RegExp(`${COMMENT}    '?([^'?:\n]+)'?\\??: `, "g");

function textOf(comment: string): string {
  return comment
    .split("\n")
    .map((line) => line.replace(/^\s*\*\s?/, ""))
    .join("\n")
    .trim()
    .replaceAll(/\\(['"])/g, "$1")
    .replaceAll("*_/", "*/");
}

/** io.k8s.api.core.v1.Event → V1Event or CoreV1Event, whichever the package has. */
function candidates(definition: string): string[] {
  const parts = definition.split(".");
  const kind = parts.at(-1)!;
  const version = parts.at(-2) ?? "";
  const group = parts.at(-3) ?? "";
  const upper = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
  return [`${upper(group)}${upper(version)}${kind}`, `${upper(version)}${kind}`, kind];
}

/** Names of members as the API spells them: the package renames what TypeScript cannot hold. */
function wireNames(file: string): Map<string, string> {
  const names = new Map<string, string>();
  const source = readFileSync(file, "utf8");
  for (const [, name, wire] of source.matchAll(/"name": "([^"]+)",\s+"baseName": "([^"]+)"/g)) names.set(name!, wire!);
  return names;
}

function describe(model: string): Record<string, string> {
  const source = readFileSync(join(models, `${model}.d.ts`), "utf8");
  const wire = wireNames(join(models, `${model}.js`));
  const about = CLASS.exec(source)?.[1];
  const described: Record<string, string> = about === undefined ? {} : { "": textOf(about) };
  const body = source.slice(source.indexOf("export declare class"));
  for (const [, comment, name] of body.matchAll(MEMBER)) described[wire.get(name!) ?? name!] = textOf(comment!);
  return described;
}

const available = new Set(readdirSync(models).map((file) => file.replace(/\.d\.ts$/, "")));
const descriptions: Record<string, Record<string, string>> = {};
for (const name of Object.keys(definitions)) {
  const model = candidates(name).find((candidate) => available.has(candidate));
  if (model !== undefined) descriptions[name] = describe(model);
}
mkdirSync(dirname(target), { recursive: true });
writeFileSync(target, JSON.stringify(descriptions));
const missing = Object.keys(definitions).filter((name) => descriptions[name] === undefined);
console.log(`${Object.keys(descriptions).length} definitions described, ${missing.length} without a model`);
