/** References to images as people write them, by the grammar of the distribution project: `host/path:tag@digest`. */
const COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
const HOST = `(?:${LABEL}(?:\\.${LABEL})*|\\[[A-Fa-f0-9:]+\\])(?::[0-9]+)?`;
const TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const DIGEST = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
const REFERENCE = new RegExp(
  `^(?:(?<host>${HOST})/)?(?<path>${COMPONENT}(?:/${COMPONENT})*)(?::(?<tag>${TAG}))?(?:@(?<digest>${DIGEST}))?$`,
);
/** Such a name could be taken for an image's identifier. */
const IDENTIFIER = /^[a-f0-9]{64}$/;
const MAX_PATH = 255;
/** Host, path, tag and digest of the longest kinds there are; what is longer is not even looked at. */
const MAX_LENGTH = 1000;

export interface ImageReference {
  /** What stands before the first slash and could be a host: "quay.io", "localhost:5000", but also the "library" of "library/nginx". */
  readonly host: string | undefined;
  readonly path: string;
  readonly tag: string | undefined;
  /** Algorithm and hexadecimal digits: "sha256:…". */
  readonly digest: string | undefined;
}

/** The parts of a reference; undefined for a text that is none, that could be an identifier, or whose path is too long. */
export function parseImageReference(text: string): ImageReference | undefined {
  if (text.length > MAX_LENGTH || IDENTIFIER.test(text)) return undefined;
  const { host, path, tag, digest } = REFERENCE.exec(text)?.groups ?? {};
  if (path === undefined || pathLength(host, path) > MAX_PATH) return undefined;
  return { host, path, tag, digest };
}

/** Length of an image's path in the registry; what could not be a host is part of it, and Docker's own have "library/". */
function pathLength(host: string | undefined, path: string): number {
  if (host === undefined) return path.length + "library/".length;
  return /[.:A-Z]|^localhost$/.test(host) ? path.length : host.length + 1 + path.length;
}
