/**
 * Configuration of the two programs: flags in pflag's syntax, the same names as keys of a YAML file and as environment
 * variables. Precedence: flag > environment > file > default.
 */
export { parseDuration, formatDuration } from "./duration.ts";
export {
  type FlagSet,
  type FlagSources,
  type FlagSpec,
  type FlagValues,
  type ParsedFlags,
  UsageError,
  defineFlags,
  describeFlags,
  parseBool,
  parseFlags,
} from "./flags.ts";
