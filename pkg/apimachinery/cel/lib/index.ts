/** The functions that Kubernetes' expressions may call. */
import { declare, functionTable, type FunctionTable } from "../functions.ts";
import { standardLibrary } from "../std.ts";
import { authorizerLibrary } from "./authorizer.ts";
import { formatLibrary } from "./formats.ts";
import { ipLibrary } from "./ip.ts";
import { listsLibrary } from "./lists.ts";
import { listOperations } from "./list-operations.ts";
import { optionalLibrary } from "./optional.ts";
import { quantityLibrary } from "./quantity.ts";
import { regexLibrary } from "./regex.ts";
import { semverLibrary } from "./semver.ts";
import { setsLibrary } from "./sets.ts";
import { stringsLibrary } from "./strings.ts";
import { urlLibrary } from "./url.ts";

/** A path element as JSON Pointer writes it: for mutating admission policies of type JSONPatch. */
const jsonPatchLibrary = [
  declare(
    "jsonpatch.escapeKey",
    "(string) -> string",
    (key: string) => key.replaceAll("~", "~0").replaceAll("/", "~1"),
    { traverses: [0] },
  ),
];

const libraries = [
  standardLibrary,
  optionalLibrary,
  stringsLibrary,
  listsLibrary,
  listOperations,
  setsLibrary,
  regexLibrary,
  urlLibrary,
  quantityLibrary,
  ipLibrary,
  formatLibrary,
  semverLibrary,
  authorizerLibrary,
];

export const kubernetesFunctions: FunctionTable = functionTable(...libraries);
/** What the mutations of admission policies may call. */
export const mutationFunctions: FunctionTable = functionTable(...libraries, jsonPatchLibrary);
