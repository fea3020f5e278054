import { LRUCache } from "lru-cache";
import { RE2JS } from "re2js";
import { errorMessage } from "#pkg/util/index.ts";
import { CelError } from "./errors.ts";

/** Patterns are nearly always constants of rules; what data brings in may not grow without bound. */
const compiled = new LRUCache<string, RE2JS>({ max: 500 });

/** RE2 syntax, linear time. @throws CelError for a bad pattern. */
export function compilePattern(pattern: string): RE2JS {
  let regex = compiled.get(pattern);
  if (regex === undefined) {
    try {
      regex = RE2JS.compile(pattern);
    } catch (error) {
      throw new CelError(errorMessage(error));
    }
    compiled.set(pattern, regex);
  }
  return regex;
}
