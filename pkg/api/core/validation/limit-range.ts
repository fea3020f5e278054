import { parseQuantity, type Quantity } from "#pkg/apimachinery/index.ts";
import type { LimitRange, LimitRangeItem } from "../../types/core-v1.ts";
import {
  duplicate,
  each,
  type FieldError,
  forbidden,
  invalid,
  qualifiedName,
  required,
} from "../../validation/rules.ts";
import { isOvercommitAllowed, validateContainerResourceName, validateResourceName } from "./resources.ts";

type Amounts = NonNullable<LimitRangeItem["max"]>;

const LIMIT_FIELDS = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const;
type LimitField = (typeof LIMIT_FIELDS)[number];

/** Which of two amounts may not be the greater one, what they are called, and which of them the error shows. */
const ORDERS: readonly (readonly [
  low: LimitField,
  high: LimitField,
  at: LimitField,
  words: string,
  shown: LimitField,
])[] = [
  ["min", "max", "min", "min value % is greater than max value %", "min"],
  ["min", "defaultRequest", "defaultRequest", "min value % is greater than default request value %", "defaultRequest"],
  ["defaultRequest", "max", "defaultRequest", "default request value % is greater than max value %", "defaultRequest"],
  [
    "defaultRequest",
    "default",
    "defaultRequest",
    "default request value % is greater than default limit value %",
    "defaultRequest",
  ],
  ["min", "default", "default", "min value % is greater than default value %", "min"],
  ["default", "max", "default", "default value % is greater than max value %", "max"],
];

/** Beyond this, amounts are compared in whole units: thousandths of them do not fit into 64 bits. */
const MAX_MILLI_VALUE = 2 ** 63 / 1000;

function largestRatio(ratio: Quantity, min: Quantity, max: Quantity): { given: number; limit: number } {
  const fine = [ratio, min, max].every((amount) => amount.value() < MAX_MILLI_VALUE);
  const size = (amount: Quantity): number => Number(fine ? amount.milliValue() : amount.value());
  return { given: fine ? size(ratio) / 1000 : size(ratio), limit: size(max) / size(min) };
}

function goFixed(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? value.toFixed(6) : value > 0 ? "+Inf" : "-Inf";
}

/** How the amounts of one resource go together. */
function compareAmounts(of: Partial<Record<LimitField, Quantity>>, name: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const wrong = (field: LimitField, shown: Quantity, why: string) =>
    errors.push(invalid(`${path}.${field}[${name}]`, shown.toString(), why));
  for (const [low, high, at, words, shown] of ORDERS) {
    const [a, b] = [of[low], of[high]];
    if (a === undefined || b === undefined || a.cmp(b) <= 0) continue;
    wrong(at, of[shown]!, words.replace("%", a.toString()).replace("%", b.toString()));
  }
  const { min, max, default: limit, defaultRequest, maxLimitRequestRatio: ratio } = of;
  if (ratio !== undefined && ratio.cmp(parseQuantity("1")) < 0) {
    wrong("maxLimitRequestRatio", ratio, `ratio ${ratio} is less than 1`);
  }
  if (ratio !== undefined && min !== undefined && max !== undefined) {
    const { given, limit: most } = largestRatio(ratio, min, max);
    if (given > most) {
      wrong("maxLimitRequestRatio", ratio, `ratio ${ratio} is greater than max/min = ${goFixed(most)}`);
    }
  }
  if (isOvercommitAllowed(name) || limit === undefined || defaultRequest === undefined) return errors;
  if (limit.cmp(defaultRequest) !== 0) {
    const why = `default value ${limit} must equal to defaultRequest value ${defaultRequest} in ${name}`;
    wrong("defaultRequest", defaultRequest, why);
  }
  return errors;
}

function validateLimits(item: LimitRangeItem, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { type } = item;
  const validateName = type === "Pod" || type === "Container" ? validateContainerResourceName : validateResourceName;
  const amounts = new Map<string, Partial<Record<LimitField, Quantity>>>();
  for (const field of LIMIT_FIELDS) {
    const list: Amounts = item[field] ?? {};
    if (type === "Pod" && field.startsWith("default")) {
      if (Object.keys(list).length === 0) continue;
      errors.push(forbidden(`${path}.${field}`, "may not be specified when `type` is 'Pod'"));
      continue;
    }
    const storage = "either minimum or maximum storage value is required, but neither was provided";
    if (field === "maxLimitRequestRatio" && type === "PersistentVolumeClaim") {
      if (item.min?.["storage"] === undefined && item.max?.["storage"] === undefined) {
        errors.push(required(`${path}.limits`, storage));
      }
    }
    for (const [name, amount] of Object.entries(list)) {
      errors.push(...validateName(name, `${path}.${field}[${name}]`));
      amounts.set(name, { ...amounts.get(name), [field]: parseQuantity(amount) });
    }
  }
  for (const [name, of] of amounts) errors.push(...compareAmounts(of, name, path));
  return errors;
}

const LIMIT_TYPES = ["Container", "PersistentVolumeClaim", "Pod"];

function validateLimitType(type: string, path: string): FieldError[] {
  const errors = qualifiedName(type, path);
  if (errors.length > 0 || type.includes("/") || LIMIT_TYPES.includes(type)) return errors;
  return [invalid(path, type, "must be a standard limit type or fully qualified")];
}

export function validateLimitRange(range: LimitRange): FieldError[] {
  const seen = new Set<string>();
  return each(range.spec?.limits, "spec.limits", (item, at) => {
    const type = item.type ?? "";
    const errors = validateLimitType(type, `${at}.type`);
    if (seen.has(type)) errors.push(duplicate(`${at}.type`, type));
    seen.add(type);
    return [...errors, ...validateLimits(item, at)];
  });
}
