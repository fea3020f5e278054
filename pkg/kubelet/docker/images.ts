import type Docker from "dockerode";
import type { Clock } from "#pkg/util/index.ts";
import { RuntimeError } from "../cri/runtime.ts";
import type { AuthConfig, Image, ImageSpec, Runtime } from "../cri/runtime.ts";
import { call, must, translate } from "./calls.ts";

/** The images that Docker keeps. */
export class DockerImages {
  readonly #docker: Docker;
  readonly #clock: Clock;

  constructor(docker: Docker, clock: Clock) {
    this.#docker = docker;
    this.#clock = clock;
  }

  async list(): Promise<Image[]> {
    const images = await must(() => this.#docker.listImages());
    return images.map(({ Id, RepoTags, RepoDigests, Size }): Image => ({
      id: Id,
      repoTags: (RepoTags ?? []).filter((tag) => tag !== "<none>:<none>"),
      repoDigests: (RepoDigests ?? []).filter((digest) => digest !== "<none>@<none>"),
      sizeBytes: Size,
      username: "",
      pinned: false,
    }));
  }
  /** undefined when Docker does not have it. */
  async status({ image }: ImageSpec): Promise<Image | undefined> {
    const info = await call(() => this.#docker.getImage(image).inspect(), [404]);
    if (info === undefined) return undefined;
    const [user = ""] = (info.Config.User ?? "").split(":");
    const numeric = user === "" ? 0 : /^\d+$/.test(user) ? Number(user) : undefined;
    return {
      id: info.Id,
      repoTags: info.RepoTags ?? [],
      repoDigests: info.RepoDigests ?? [],
      sizeBytes: info.Size,
      ...(numeric === undefined ? {} : { uid: numeric }),
      username: numeric === undefined ? user : "",
      pinned: false,
    };
  }
  /** Answers the image's id. */
  async pull({ image }: ImageSpec, auth: AuthConfig | undefined): Promise<string> {
    const authconfig =
      auth === undefined
        ? undefined
        : {
            username: auth.username ?? "",
            password: auth.password ?? "",
            serveraddress: auth.serverAddress ?? "",
            identitytoken: auth.identityToken ?? "",
          };
    const stream = await must(() => this.#docker.pull(image, authconfig === undefined ? {} : { authconfig }));
    await new Promise<void>((resolve, reject) => {
      this.#docker.modem.followProgress(stream, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(translate(error));
      });
    });
    const found = await this.status({ image });
    if (found === undefined) throw new RuntimeError("NotFound", `Docker does not know ${image} after pulling it`);
    return found.id;
  }
  async remove({ image }: ImageSpec): Promise<void> {
    await call(() => this.#docker.getImage(image).remove({ force: true }), [404]);
  }
  async fileSystems(): ReturnType<Runtime["imageFsInfo"]> {
    const { DockerRootDir } = (await must(() => this.#docker.info())) as { DockerRootDir: string };
    const usage = { timestamp: this.#clock.now(), mountpoint: DockerRootDir, usedBytes: 0, inodesUsed: 0 };
    return { images: [usage], containers: [usage] };
  }
}
