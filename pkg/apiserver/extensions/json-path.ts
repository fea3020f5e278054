/**
 * The JSONPath of printer columns and selectable fields: `.spec.replicas`, `['a.b']`, `[0]`, `[*]`, `..name` and filters
 * `[?(@.type=="Ready")]`. Compiled once; evaluation never throws, what is not there is simply not found.
 */
type Step = (values: readonly unknown[]) => unknown[];

export class JsonPathError extends Error {}

/** @throws JsonPathError */
export function compileJsonPath(path: string): (object: unknown) => unknown[] {
  let text = path.trim();
  if (text.startsWith("{") && text.endsWith("}")) text = text.slice(1, -1);
  if (text.startsWith("$")) text = text.slice(1);
  const steps = parseSteps(text, path);
  return (object) => steps.reduce<unknown[]>((values, step) => step(values), [object]);
}

function parseSteps(text: string, path: string): Step[] {
  const steps: Step[] = [];
  let at = 0;
  while (at < text.length) {
    if (text.startsWith("..", at)) {
      steps.push(descendants);
      at += text[at + 2] === "[" ? 2 : 1;
    } else if (text[at] === ".") {
      const name = /^\.((?:[^.[\\]|\\.)*)/.exec(text.slice(at))!;
      const plain = name[1]!.replaceAll(/\\(.)/g, "$1");
      if (plain === "" && at + 1 < text.length) throw new JsonPathError(`${path}: a field name is missing`);
      if (plain === "*") steps.push(children);
      else if (plain !== "") steps.push(member(plain));
      at += name[0].length;
    } else if (text[at] === "[") {
      const end = closingBracket(text, at);
      if (end < 0) throw new JsonPathError(`${path}: a bracket is not closed`);
      steps.push(bracket(text.slice(at + 1, end).trim(), path));
      at = end + 1;
    } else throw new JsonPathError(`${path}: unexpected ${JSON.stringify(text[at])}`);
  }
  return steps;
}

/** Index of the bracket that closes the one at `start`; quotes and nested brackets are skipped. */
function closingBracket(text: string, start: number): number {
  let depth = 0;
  let quote = "";
  for (let i = start; i < text.length; i++) {
    const character = text[i]!;
    if (quote !== "") {
      if (character === "\\") i++;
      else if (character === quote) quote = "";
    } else if (character === "'" || character === '"') quote = character;
    else if (character === "[") depth++;
    else if (character === "]" && --depth === 0) return i;
  }
  return -1;
}

function bracket(inside: string, path: string): Step {
  if (inside === "*") return children;
  if (/^['"].*['"]$/.test(inside)) return member(inside.slice(1, -1).replaceAll(/\\(.)/g, "$1"));
  if (/^-?\d+$/.test(inside)) return element(Number(inside));
  const slice = /^(-?\d*):(-?\d*)$/.exec(inside);
  if (slice !== null) {
    const [from, to] = [slice[1], slice[2]].map((bound) => (bound === "" ? undefined : Number(bound)));
    return (values) => values.flatMap((value) => (Array.isArray(value) ? (value as unknown[]).slice(from, to) : []));
  }
  const filter = /^\?\((.*)\)$/.exec(inside);
  if (filter !== null) return filterStep(filter[1]!.trim(), path);
  throw new JsonPathError(`${path}: cannot read [${inside}]`);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function member(name: string): Step {
  return (values) => values.flatMap((value) => (isObject(value) && Object.hasOwn(value, name) ? [value[name]] : []));
}
function element(index: number): Step {
  return (values) =>
    values.flatMap((value) => {
      if (!Array.isArray(value)) return [];
      const found: unknown = value.at(index);
      return found === undefined ? [] : [found];
    });
}
const children: Step = (values) =>
  values.flatMap((value) =>
    Array.isArray(value) ? (value as unknown[]) : isObject(value) ? Object.values(value) : [],
  );
const descendants: Step = (values) => values.flatMap((value): unknown[] => [value, ...descendants(children([value]))]);

const OPERATORS: Readonly<Record<string, (a: unknown, b: unknown) => boolean>> = {
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "<=": (a, b) => typeof a === typeof b && (a as number) <= (b as number),
  ">=": (a, b) => typeof a === typeof b && (a as number) >= (b as number),
  "<": (a, b) => typeof a === typeof b && (a as number) < (b as number),
  ">": (a, b) => typeof a === typeof b && (a as number) > (b as number),
};

function filterStep(expression: string, path: string): Step {
  const match = /^(@[^=!<>]*?)\s*(?:(==|!=|<=|>=|<|>)\s*(.+))?$/.exec(expression);
  if (match === null) throw new JsonPathError(`${path}: cannot read the filter ${expression}`);
  const steps = parseSteps(match[1]!.slice(1).trim(), path);
  const left = (value: unknown): unknown[] => steps.reduce<unknown[]>((values, step) => step(values), [value]);
  const operator = match[2] === undefined ? undefined : OPERATORS[match[2]]!;
  const right = operator === undefined ? undefined : literal(match[3]!.trim(), path);
  const keep = (value: unknown): boolean => {
    const found = left(value);
    return operator === undefined ? found.length > 0 : found.some((each) => operator(each, right));
  };
  return (values) => children(values.filter((value) => Array.isArray(value))).filter(keep);
}

function literal(text: string, path: string): unknown {
  if (/^['"].*['"]$/.test(text)) return text.slice(1, -1);
  if (text === "true" || text === "false") return text === "true";
  const number = Number(text);
  if (text === "" || Number.isNaN(number)) throw new JsonPathError(`${path}: cannot read the value ${text}`);
  return number;
}
