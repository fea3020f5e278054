import { formatDuration, parseDuration } from "./duration.ts";

interface FlagTypes {
  string: string;
  boolean: boolean;
  integer: number;
  number: number;
  /** Go duration syntax on the command line, milliseconds in the program. */
  duration: number;
  /** Comma-separated and repeatable. */
  strings: string[];
  /** key=value (or key<value) pairs, comma-separated and repeatable. */
  map: Record<string, string>;
}

/** One flag as pflag knows it. Its name is also its key in the configuration file and, upper-cased, in the environment. */
export interface FlagSpec<K extends keyof FlagTypes = keyof FlagTypes> {
  readonly type: K;
  readonly default: FlagTypes[K];
  readonly help: string;
  readonly shorthand?: string;
  /** Heading under which --help lists it. */
  readonly section?: string;
  readonly choices?: readonly string[];
}
export type FlagSet = Readonly<Record<string, FlagSpec>>;
export type FlagValues<S extends FlagSet> = { -readonly [N in keyof S]: FlagTypes[S[N]["type"]] };

/** A command line or configuration file that cannot be used; the message is meant for the user as it is. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** Declares a flag set; exists so that each flag's value type follows from its declaration. */
export function defineFlags<const S extends Record<string, { [K in keyof FlagTypes]: FlagSpec<K> }[keyof FlagTypes]>>(
  flags: S,
): S {
  return flags;
}

const TRUE = ["true", "1", "t", "T", "TRUE", "True"];
const FALSE = ["false", "0", "f", "F", "FALSE", "False"];

/** A boolean as Go's strconv.ParseBool reads it; undefined: it is none. */
export function parseBool(text: string): boolean | undefined {
  return TRUE.includes(text) ? true : FALSE.includes(text) ? false : undefined;
}

function parseValue(name: string, spec: FlagSpec, text: string, previous: unknown): unknown {
  const refuse = (why: string): never => {
    throw new UsageError(`invalid argument ${JSON.stringify(text)} for "--${name}" flag: ${why}`);
  };
  if (spec.choices !== undefined && spec.type !== "strings" && !spec.choices.includes(text)) {
    refuse(`must be one of ${spec.choices.join(", ")}`);
  }
  switch (spec.type) {
    case "string":
      return text;
    case "boolean":
      return parseBool(text) ?? refuse("must be true or false");
    case "integer":
      return /^[+-]?\d+$/.test(text) && Number.isSafeInteger(Number(text))
        ? Number(text)
        : refuse("must be an integer");
    case "number":
      return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : refuse("must be a number");
    case "duration":
      return parseDuration(text) ?? refuse("must be a duration such as 10s, 5m or 1h30m");
    case "strings":
      return [...((previous as string[] | undefined) ?? []), ...text.split(",").filter((part) => part !== "")];
    case "map": {
      const result = { ...(previous as Record<string, string> | undefined) };
      for (const pair of text.split(",").filter((part) => part !== "")) {
        // Thresholds are written like the condition that they are: memory.available<100Mi.
        const equals = pair.search(/[=<]/);
        if (equals < 1) refuse("must be key=value pairs");
        result[pair.slice(0, equals)] = pair.slice(equals + 1);
      }
      return result;
    }
  }
}

function parseFileValue(name: string, spec: FlagSpec, value: unknown): unknown {
  if (Array.isArray(value)) return parseValue(name, spec, value.join(","), undefined);
  if (typeof value === "object" && value !== null) {
    const pairs = Object.entries(value).map(([key, entry]) => `${key}=${String(entry)}`);
    return parseValue(name, spec, pairs.join(","), undefined);
  }
  return parseValue(name, spec, String(value), undefined);
}

export interface ParsedFlags<S extends FlagSet> {
  readonly values: FlagValues<S>;
  /** Names given on the command line, in the environment or in the file. */
  readonly given: ReadonlySet<string>;
  readonly positional: string[];
}

/** Sources in rising precedence: defaults, `file`, `env` (PREFIX_FLAG_NAME), `argv`. */
export interface FlagSources {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** E.g. "KUBITS_MASTER". */
  readonly envPrefix?: string;
  /** Parsed configuration file: keys are flag names. */
  readonly file?: Readonly<Record<string, unknown>>;
}

/** Parses as pflag does: --name=value, --name value, --bool, -v=2, -v 2, `--` ends flags. @throws UsageError */
export function parseFlags<const S extends FlagSet>(flags: S, sources: FlagSources): ParsedFlags<S> {
  const values: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(flags)) values[name] = spec.default;
  const given = new Set<string>();
  const lookup = (name: string): FlagSpec => {
    const spec = Object.hasOwn(flags, name) ? flags[name] : undefined;
    if (spec === undefined) throw new UsageError(`unknown flag: --${name}${suggestion(name, Object.keys(flags))}`);
    return spec;
  };
  for (const [name, value] of Object.entries(sources.file ?? {})) {
    values[name] = parseFileValue(name, lookup(name), value);
    given.add(name);
  }
  for (const [name, spec] of Object.entries(flags)) {
    const variable = `${sources.envPrefix ?? ""}_${name.replaceAll("-", "_").toUpperCase()}`;
    const text = sources.envPrefix === undefined ? undefined : sources.env?.[variable];
    if (text === undefined) continue;
    values[name] = parseValue(name, spec, text, undefined);
    given.add(name);
  }
  const positional: string[] = [];
  const repeated = new Set<string>();
  const { argv } = sources;
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!;
    if (argument === "--") {
      positional.push(...argv.slice(i + 1));
      break;
    }
    if (!argument.startsWith("-") || argument === "-") {
      positional.push(argument);
      continue;
    }
    const equals = argument.indexOf("=");
    const written = argument.slice(argument.startsWith("--") ? 2 : 1, equals < 0 ? undefined : equals);
    const name = argument.startsWith("--") ? written : longName(flags, written);
    const spec = lookup(name);
    let text: string;
    if (equals >= 0) text = argument.slice(equals + 1);
    else if (spec.type === "boolean") text = "true";
    else if (i + 1 < argv.length) text = argv[++i]!;
    else throw new UsageError(`flag needs an argument: ${argument}`);
    values[name] = parseValue(name, spec, text, repeated.has(name) ? values[name] : undefined);
    repeated.add(name);
    given.add(name);
  }
  return { values: values as FlagValues<S>, given, positional };
}

function longName(flags: FlagSet, shorthand: string): string {
  const found = Object.entries(flags).find(([name, spec]) => spec.shorthand === shorthand || name === shorthand);
  if (found === undefined) throw new UsageError(`unknown shorthand flag: '${shorthand}' in -${shorthand}`);
  return found[0];
}

function suggestion(name: string, known: readonly string[]): string {
  const close = known.filter((candidate) => candidate.includes(name) || name.includes(candidate));
  return close.length === 0 ? " (see --help)" : ` (did you mean --${close[0]}?)`;
}

function describeDefault(spec: FlagSpec): string {
  const value = spec.default;
  if (spec.type === "duration") return ` (default ${formatDuration(value as number)})`;
  if (value === "" || value === false) return "";
  if (typeof value === "object") {
    const text = Array.isArray(value)
      ? value.join(",")
      : Object.entries(value)
          .map(([k, v]) => `${k}=${v}`)
          .join(",");
    return text === "" ? "" : ` (default ${text})`;
  }
  return ` (default ${typeof value === "string" ? JSON.stringify(value) : String(value)})`;
}

/** Text of --help: flags by section, aligned, wrapped at `width` columns. */
export function describeFlags(flags: FlagSet, width = 110): string {
  const sections = new Map<string, string[]>();
  const column = 34;
  for (const [name, spec] of Object.entries(flags)) {
    const lines = sections.get(spec.section ?? "General") ?? [];
    sections.set(spec.section ?? "General", lines);
    const short = spec.shorthand === undefined ? "    " : `-${spec.shorthand}, `;
    const head = `  ${short}--${name}${spec.type === "boolean" ? "" : ` ${spec.type}`}`;
    const text = `${spec.help}${spec.choices === undefined ? "" : ` One of: ${spec.choices.join(", ")}.`}${describeDefault(spec)}`;
    const wrapped = wrap(text, width - column);
    if (head.length > column - 2) lines.push(head, ...wrapped.map((line) => " ".repeat(column) + line));
    else lines.push(head.padEnd(column) + wrapped[0], ...wrapped.slice(1).map((line) => " ".repeat(column) + line));
  }
  return [...sections].map(([title, lines]) => `${title}:\n${lines.join("\n")}\n`).join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    if (last !== "" && last.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines;
}
