import { isRecord } from "#pkg/apimachinery/index.ts";

type Args = Readonly<Record<string, unknown>>;
/** What is wrong with a plugin's arguments, as "field: why". */
type Problems = string[];

const STRATEGIES = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
const MAX_RESOURCE_WEIGHT = 100;
const MAX_SHAPE_SCORE = 10;

const isBetween = (value: unknown, lowest: number, highest: number): value is number =>
  Number.isInteger(value) && (value as number) >= lowest && (value as number) <= highest;
const asList = (value: unknown): readonly Args[] => (Array.isArray(value) ? value.filter((one) => isRecord(one)) : []);

function checkResources(value: unknown, path: string, highestWeight: number, problems: Problems): void {
  for (const [i, { name, weight = 1 }] of asList(value).entries()) {
    if (!isBetween(weight, 1, highestWeight))
      problems.push(
        `${path}[${i}].weight: Invalid value: ${String(weight)}: resource weight of ${String(name)} not in valid range [1, ${highestWeight}]`,
      );
  }
}

function checkShape(value: unknown, problems: Problems): void {
  const path = "scoringStrategy.requestedToCapacityRatio.shape";
  const points = asList(value);
  if (points.length === 0) problems.push(`${path}: Required value: at least one point must be specified`);
  let before = -1;
  for (const [i, { utilization, score }] of points.entries()) {
    if (!isBetween(utilization, 0, 100))
      problems.push(`${path}[${i}].utilization: Invalid value: ${String(utilization)}: not in valid range [0, 100]`);
    else if (utilization <= before)
      problems.push(
        `${path}[${i}].utilization: Invalid value: ${utilization}: utilization values must be sorted in increasing order`,
      );
    else before = utilization;
    if (!isBetween(score, 0, MAX_SHAPE_SCORE))
      problems.push(`${path}[${i}].score: Invalid value: ${String(score)}: not in valid range [0, ${MAX_SHAPE_SCORE}]`);
  }
}

function checkFit({ scoringStrategy }: Args, problems: Problems): void {
  if (!isRecord(scoringStrategy)) return;
  const { type, resources, requestedToCapacityRatio } = scoringStrategy;
  if (!STRATEGIES.includes(type as string)) {
    const known = STRATEGIES.map((one) => `"${one}"`).join(", ");
    problems.push(`scoringStrategy.type: Unsupported value: ${JSON.stringify(type)}: supported values: ${known}`);
  }
  checkResources(resources, "scoringStrategy.resources", MAX_RESOURCE_WEIGHT, problems);
  if (type !== "RequestedToCapacityRatio") return;
  checkShape(isRecord(requestedToCapacityRatio) ? requestedToCapacityRatio["shape"] : undefined, problems);
}

function checkPreemption(args: Args, problems: Problems): void {
  const { minCandidateNodesPercentage: share = 10, minCandidateNodesAbsolute: count = 100 } = args;
  if (!isBetween(share, 0, 100))
    problems.push(`minCandidateNodesPercentage: Invalid value: ${String(share)}: not in valid range [0, 100]`);
  if (!isBetween(count, 0, Infinity))
    problems.push(`minCandidateNodesAbsolute: Invalid value: ${String(count)}: not in valid range [0, inf)`);
  if (share === 0 && count === 0)
    problems.push(
      "minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as minCandidateNodesAbsolute",
    );
}

function checkSpread({ defaultingType = "System", defaultConstraints }: Args, problems: Problems): void {
  if (defaultingType !== "System" && defaultingType !== "List")
    problems.push(
      `defaultingType: Unsupported value: ${JSON.stringify(defaultingType)}: supported values: "System", "List"`,
    );
  if (defaultingType === "System" && asList(defaultConstraints).length > 0)
    problems.push(
      'defaultingType: Invalid value: "System": when .defaultConstraints are not empty, .defaultingType must be "List"',
    );
}

const CHECKS: Readonly<Record<string, (args: Args, problems: Problems) => void>> = {
  NodeResourcesFit: checkFit,
  NodeResourcesBalancedAllocation: ({ resources }, problems) => checkResources(resources, "resources", 1, problems),
  InterPodAffinity: ({ hardPodAffinityWeight: weight = 1 }, problems) => {
    if (!isBetween(weight, 0, 100))
      problems.push(`hardPodAffinityWeight: Invalid value: ${String(weight)}: not in valid range [0-100]`);
  },
  DefaultPreemption: checkPreemption,
  PodTopologySpread: checkSpread,
  VolumeBinding: ({ bindTimeoutSeconds: seconds = 600 }, problems) => {
    if (!isBetween(seconds, 0, Infinity))
      problems.push(
        `bindTimeoutSeconds: Invalid value: ${String(seconds)}: invalid BindTimeoutSeconds, should not be a negative value`,
      );
  },
};

/** The first thing wrong with the arguments of a default plugin; those of others are their own affair. */
export function problemOfArgs(plugin: string, args: unknown): string | undefined {
  if (args === undefined || args === null) return undefined;
  if (!isRecord(args)) return "expected a mapping";
  const problems: Problems = [];
  if (Object.hasOwn(CHECKS, plugin)) CHECKS[plugin]!(args, problems);
  return problems[0];
}
