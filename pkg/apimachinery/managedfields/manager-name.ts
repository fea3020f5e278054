const MAX_MANAGER_LENGTH = 128;

/** The field manager of a request that names none: the part of its user agent before the first slash. */
export function managerFromUserAgent(userAgent: string | undefined): string {
  const agent = userAgent ?? "";
  const slash = agent.indexOf("/");
  const name = slash < 0 ? agent : agent.slice(0, slash);
  if (/^[ -~]*$/.test(name)) return name.slice(0, MAX_MANAGER_LENGTH);
  return [...name]
    .filter((character) => /[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(character))
    .slice(0, MAX_MANAGER_LENGTH)
    .join("");
}
