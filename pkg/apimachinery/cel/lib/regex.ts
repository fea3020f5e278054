import { matching } from "../costs.ts";
import { declare, type LinearCost, type Overload } from "../functions.ts";
import { compilePattern } from "../regex.ts";
import { ArrayList } from "../values.ts";

function findAll(text: string, pattern: string, limit: bigint): ArrayList {
  const matcher = compilePattern(pattern).matcher(text);
  const found: string[] = [];
  const most = limit < 0n ? Number.POSITIVE_INFINITY : Number(limit);
  while (found.length < most && matcher.find()) found.push(matcher.group() ?? "");
  return new ArrayList(found);
}
function find(text: string, pattern: string): string {
  const matcher = compilePattern(pattern).matcher(text);
  return matcher.find() ? (matcher.group() ?? "") : "";
}
/** At worst every character is found. */
const searching: LinearCost = { rule: matching, resultSize: (sizes) => ({ min: 0, max: sizes.of(0).max }) };

/** Kubernetes' regular expression functions (apiserver/pkg/cel/library/regex.go). */
export const regexLibrary: readonly Overload[] = [
  declare("find", "string.(string) -> string", find, searching),
  declare(
    "findAll",
    "string.(string) -> list<string>",
    (text: string, pattern: string) => findAll(text, pattern, -1n),
    searching,
  ),
  declare("findAll", "string.(string, int) -> list<string>", findAll, searching),
];
