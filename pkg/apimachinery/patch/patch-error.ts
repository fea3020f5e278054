/**
 * A patch that cannot be read or does not apply; the message is the one clients of the API see. `code` is the HTTP
 * status upstream answers with: 400 for a patch that is malformed, 422 for one that does not apply, 500 for what
 * upstream leaves unclassified (a Status without reason).
 */
export class PatchError extends Error {
  readonly code: 400 | 422 | 500;
  constructor(message: string, code: 400 | 422 | 500 = 500) {
    super(message);
    this.name = "PatchError";
    this.code = code;
  }
}

/** JSON data as Go's %v prints it: `map[a:1 b:[x y]]`. */
export function goValue(value: unknown): string {
  if (value === null || value === undefined) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(goValue).join(" ")}]`;
  if (typeof value !== "object") return String(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${members.map(([key, member]) => `${key}:${goValue(member)}`).join(" ")}]`;
}
