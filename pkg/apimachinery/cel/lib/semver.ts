import semver from "semver";
import { CelError } from "../errors.ts";
import { declare, type Overload } from "../functions.ts";
import { Opaque } from "../values.ts";

class Version extends Opaque {
  readonly typeName = "kubernetes.Semver";
  readonly version: semver.SemVer;
  constructor(version: semver.SemVer) {
    super();
    this.version = version;
  }
  equals(other: Opaque): boolean {
    return other instanceof Version && other.version.compare(this.version) === 0;
  }
  override toString(): string {
    return this.version.raw;
  }
}

const STRICT = /^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$/;

/** With `normalize`, a leading v is dropped, missing parts are zero, and leading zeros go. */
function parse(text: string, normalize: boolean): Version | undefined {
  let candidate = text;
  if (normalize) {
    const match = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?([-+].*)?$/.exec(text.trim());
    if (match === null) return undefined;
    const parts = [match[1], match[2] ?? "0", match[3] ?? "0"].map((part) => part!.replace(/^0+(?=\d)/, ""));
    candidate = parts.join(".") + (match[4] ?? "");
  }
  const version = STRICT.test(candidate) ? semver.parse(candidate) : null;
  return version === null ? undefined : new Version(version);
}
function version(text: string, normalize = false): Version {
  const parsed = parse(text, normalize);
  if (parsed === undefined)
    throw new CelError(text === "" ? "Version string empty" : "No Major.Minor.Patch elements found");
  return parsed;
}
type V = Version;
const T = "kubernetes.Semver";
const own = { traverses: [0] };

/** Kubernetes' semantic versions (apiserver/pkg/cel/library/semverlib.go). */
export const semverLibrary: readonly Overload[] = [
  declare("semver", `(string) -> ${T}`, (text: string) => version(text), own),
  declare("semver", `(string, bool) -> ${T}`, version, own),
  declare("isSemver", "(string) -> bool", (text: string) => parse(text, false) !== undefined, own),
  declare(
    "isSemver",
    "(string, bool) -> bool",
    (text: string, normalize: boolean) => parse(text, normalize) !== undefined,
    own,
  ),
  declare("major", `${T}.() -> int`, (a: V) => BigInt(a.version.major)),
  declare("minor", `${T}.() -> int`, (a: V) => BigInt(a.version.minor)),
  declare("patch", `${T}.() -> int`, (a: V) => BigInt(a.version.patch)),
  declare("isLessThan", `${T}.(${T}) -> bool`, (a: V, b: V) => a.version.compare(b.version) < 0),
  declare("isGreaterThan", `${T}.(${T}) -> bool`, (a: V, b: V) => a.version.compare(b.version) > 0),
  declare("compareTo", `${T}.(${T}) -> int`, (a: V, b: V) => BigInt(a.version.compare(b.version))),
];
