/** What a node makes of image references: completed as Docker and Kubernetes do, refused in their words. */

/** What is wrong with a text that `parseImageReference` does not take, in the words of Docker's reference package. */
export function referenceProblem(text: string): string {
  if (/^[a-f0-9]{64}$/.test(text))
    return `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`;
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
