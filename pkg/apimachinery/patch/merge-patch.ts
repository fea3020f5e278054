import { deepCopy, isRecord, setMember } from "../deep.ts";

/** JSON Merge Patch (RFC 7386). The result shares nothing with its arguments, which do not change. */
export function applyMergePatch(original: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return isRecord(original) ? deepCopy(patch) : withoutNulls(patch);
  const target: Record<string, unknown> = {};
  if (isRecord(original)) {
    for (const key of Object.keys(original)) {
      if (!Object.hasOwn(patch, key)) setMember(target, key, deepCopy(original[key]));
      else if (patch[key] !== null) setMember(target, key, applyMergePatch(original[key], patch[key]));
    }
  }
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null || Object.hasOwn(target, key)) continue;
    setMember(target, key, applyMergePatch(undefined, value));
  }
  return target;
}

/** A list as upstream's library inserts it: members of its objects that are null are left out, as in the patch itself. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  return isRecord(value) ? applyMergePatch(undefined, value) : value;
}
