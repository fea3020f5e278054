/** Image references as people write them, completed as Docker and Kubernetes do. */
const NAME =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\d+)?\/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$/;
/** References longer than this are nonsense, and the pattern above must not be fed without bound. */
const MAX_LENGTH = 4096;

export function isImageReference(text: string): boolean {
  return text.length <= MAX_LENGTH && NAME.test(text);
}

/** What is wrong with a text that is no reference, in the words of Docker's reference package. */
export function referenceProblem(text: string): string {
  const what = "invalid reference format";
  const slash = text.indexOf("/");
  const first = text.slice(0, Math.max(slash, 0));
  // A namespace has no upper case: what has is a host.
  const isHost = first === "localhost" || /[.:]/.test(first) || first !== first.toLowerCase();
  const path = isHost ? text.slice(slash + 1) : text;
  const official = (!isHost || /^(index\.)?docker\.io$/.test(first)) && !path.includes("/");
  const repository = (official ? `library/${path}` : path).split(":")[0]!;
  return repository === repository.toLowerCase() ? what : `${what}: repository name (${repository}) must be lowercase`;
}

/** Adds ":latest" where neither tag nor digest is given. The registry is left to the runtime. */
export function withDefaultTag(image: string): string {
  const last = image.slice(image.lastIndexOf("/") + 1);
  return last.includes(":") || image.includes("@") ? image : `${image}:latest`;
}

/** The reference without tag and digest. */
function repositoryOf(image: string): string {
  return image.split("@")[0]!.replace(/:[^/:]*$/, "");
}

/** The repository with its registry, however short the reference: docker.io/library/nginx. */
export function fullRepositoryOf(image: string): string {
  const repository = repositoryOf(image);
  if (image.startsWith("docker.io/") || registryOf(image) !== "index.docker.io") return repository;
  return `docker.io/${repository.includes("/") ? "" : "library/"}${repository}`;
}

/** The registry's host, as credentials name it. */
export function registryOf(image: string): string {
  const slash = image.indexOf("/");
  const first = slash < 0 ? "" : image.slice(0, slash);
  return first.includes(".") || first.includes(":") || first === "localhost" ? first : "index.docker.io";
}
