/**
 * Which pods may use an image that was pulled with credentials (KEP-2535): those that bring credentials with which this
 * node has pulled it. What was there before the kubelet came, or was pulled by nobody in particular, is for everybody.
 * Records outlive the kubelet; a pull is announced before it begins, so that a crash cannot make its image public.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { growingLru, ifExists } from "#pkg/util/index.ts";
import type { Image } from "../cri/runtime.ts";
import type { Credential } from "./credentials.ts";
import { fullRepositoryOf } from "./reference.ts";

const KNOWN_FILES = 1024;

/** How one repository's copy of an image came here. */
interface Origin {
  readonly public?: boolean;
  /** Fingerprints of credentials, and the Secrets they came from: a Secret that changes keeps its pods' access. */
  readonly credentials: readonly string[];
  readonly secrets: readonly string[];
}
interface ImageRecord {
  readonly image: string;
  readonly origins: Readonly<Record<string, Origin>>;
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
const fingerprint = ({ auth }: Credential): string => digest(JSON.stringify(auth));
const nameOf = ({ secret }: Credential): string | undefined =>
  secret === undefined ? undefined : `${secret.namespace}/${secret.name}/${secret.uid}`;

async function readJson<T>(path: string): Promise<T | undefined> {
  const text = await ifExists(readFile(path, "utf8"));
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

export class ImageAccess {
  readonly #pulled: string;
  readonly #pulling: string;
  /** What the files say, by path: nobody else writes them while we run. */
  readonly #known = growingLru<string, { readonly value: object | undefined }>(KNOWN_FILES);
  /** Counts changes of files: what was read before one may be old. */
  #changes = 0;
  /** Records are read, changed and written one at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(directory: string) {
    this.#pulled = join(directory, "pulled");
    this.#pulling = join(directory, "pulling");
  }

  /** May a pod that has these credentials use an image that is here, which it calls by that name? */
  async allows(
    image: string,
    { id, repoTags, repoDigests }: Pick<Image, "id" | "repoTags" | "repoDigests">,
    credentials: readonly Credential[],
  ): Promise<boolean> {
    const record = await this.#read<ImageRecord>(this.#recordOf(id));
    if (record === undefined) return (await this.#read(this.#announcementOf(image))) === undefined;
    const repository = fullRepositoryOf(image);
    const origin = record.origins[repository];
    // The same image from elsewhere is for everybody; its bare id is nobody's way around a registry.
    if (origin === undefined)
      return [...repoTags, ...repoDigests].some((name) => fullRepositoryOf(name) === repository);
    if (origin.public === true) return true;
    return credentials.some(
      (credential) =>
        origin.credentials.includes(fingerprint(credential)) || origin.secrets.includes(nameOf(credential) ?? ""),
    );
  }

  /** A pull with credentials begins. */
  async announce(image: string): Promise<void> {
    await this.#write(this.#announcementOf(image), { image });
  }

  /** A pull has ended: well, giving the image of this id by this credential (or by none), or not at all. */
  async settle(image: string, outcome?: { id: string; credential: Credential | undefined }): Promise<void> {
    if (outcome !== undefined) {
      const recorded = this.#turn.then(() => this.#record(image, outcome.id, outcome.credential));
      this.#turn = recorded.catch(() => undefined); // who asked is told; the next one has its turn all the same
      await recorded;
    }
    await this.#remove(this.#announcementOf(image));
  }

  async #record(image: string, id: string, credential: Credential | undefined): Promise<void> {
    const path = this.#recordOf(id);
    const record = await this.#read<ImageRecord>(path);
    const secret = credential === undefined ? undefined : nameOf(credential);
    if (record === undefined && secret === undefined) return; // for everybody, as what was never recorded
    const repository = fullRepositoryOf(image);
    const { credentials = [], secrets = [], ...rest } = record?.origins[repository] ?? {};
    const origin: Origin =
      credential === undefined || secret === undefined
        ? { public: true, credentials, secrets }
        : {
            ...rest,
            credentials: [...new Set([...credentials, fingerprint(credential)])],
            secrets: [...new Set([...secrets, secret])],
          };
    await this.#write(path, { image: id, origins: { ...record?.origins, [repository]: origin } });
  }

  /** Forgets images that are no longer here. */
  async prune(ids: ReadonlySet<string>): Promise<void> {
    const kept = new Set([...ids].map(digest));
    for (const name of (await ifExists(readdir(this.#pulled))) ?? [])
      if (!kept.has(name)) await this.#remove(join(this.#pulled, name));
  }

  #recordOf(id: string): string {
    return join(this.#pulled, digest(id));
  }
  #announcementOf(image: string): string {
    return join(this.#pulling, digest(image));
  }

  async #read<T extends object>(path: string): Promise<T | undefined> {
    const known = this.#known.get(path);
    if (known !== undefined) return known.value as T | undefined;
    const changes = this.#changes;
    const value = await readJson<T>(path);
    if (changes === this.#changes) this.#known.set(path, { value });
    return value;
  }

  async #remove(path: string): Promise<void> {
    await rm(path, { force: true });
    this.#changes++;
    this.#known.set(path, { value: undefined });
  }

  async #write(path: string, value: object): Promise<void> {
    await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
    await writeFile(`${path}.new`, JSON.stringify(value), { mode: 0o600 });
    await rename(`${path}.new`, path);
    this.#changes++;
    this.#known.set(path, { value });
  }
}
