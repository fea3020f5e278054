/** Alphabet of generated names: no vowels (no words), nothing that looks like something else. */
const SAFE = "bcdfghjklmnpqrstvwxz2456789";

/** Decimal digits of the hash written in the safe alphabet. */
function safeEncode(hash: number): string {
  return Array.from(String(hash), (digit) => SAFE[Number(digit) % SAFE.length]).join("");
}

/** JSON with sorted member names and without undefined, null and empty members: equal meaning, equal text. */
export function stableJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => stableJson(item)).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const record = value as Record<string, unknown>;
    const members = Object.keys(record)
      .filter((key) => record[key] !== undefined && record[key] !== null)
      .sort()
      .map((key) => `${JSON.stringify(key)}:${stableJson(record[key])}`);
    return `{${members.join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}

/** FNV-1a, 32 bits. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    hash = Math.imul(hash ^ (code & 0xff), 0x01000193);
    if (code > 0xff) hash = Math.imul(hash ^ (code >>> 8), 0x01000193);
  }
  return hash >>> 0;
}

/** Names a pod template (or revision): stable, and different for each collision count. */
export function hashOf(value: unknown, collisionCount: number | undefined): string {
  const salt = collisionCount === undefined ? "" : `\n${collisionCount}`;
  return safeEncode(fnv1a(stableJson(value) + salt));
}
