import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import type { TestMaster } from "../framework/master.ts";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });

export const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** What a SubjectAccessReview asks about. */
interface Review {
  readonly spec: Record<string, Record<string, string>>;
}

/** What is outside of the cluster: a provider of identities and a webhook that knows everybody's rights, in one. */
export class Outside {
  readonly ca: string;
  readonly url: string;
  /** The reviews that were asked for so far. */
  readonly asked: Review[] = [];
  readonly #server: Server;

  private constructor(ca: string, server: Server) {
    this.ca = ca;
    this.#server = server;
    this.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<Outside> {
    const now = Date.now();
    const ca = await createCa({ commonName: "outside-ca", validityDays: 1, now });
    const names = { ips: ["127.0.0.1"], validityDays: 1, now };
    const leaf = await issueCertificate(ca, { commonName: "outside", usages: ["server"], ...names });
    const server = createServer(leaf, (request, response) => {
      let text = "";
      request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      request.on("end", () => {
        const answer = outside.#answer(request.url ?? "", text);
        if (answer === undefined) response.writeHead(404).end();
        else response.end(JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const outside = new Outside(ca.cert, server);
    return outside;
  }
  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** An ID token of the provider's, or one that pretends to be. */
  jwt(claims: object, { key = rsa.privateKey, header = {} }: { key?: KeyObject; header?: object } = {}): string {
    const now = Math.floor(Date.now() / 1000);
    const body = { iss: this.url, aud: "kubits", sub: "jane", exp: now + 600, iat: now, ...claims };
    const signed = `${encode({ alg: "RS256", kid: "one", ...header })}.${encode(body)}`;
    return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
  }

  /** A file in kubeconfig's format that leads to one of the webhooks. */
  kubeconfig(master: TestMaster, path: string): string {
    const ca = Buffer.from(this.ca).toString("base64");
    return master.file(`kubeconfig${path.replace("/", "-")}`, {
      clusters: [{ name: "c", cluster: { server: this.url + path, "certificate-authority-data": ca } }],
      users: [{ name: "u", user: {} }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      "current-context": "x",
    });
  }

  /** Undefined for what is not there. */
  #answer(path: string, text: string): object | undefined {
    if (path === "/.well-known/openid-configuration") return { issuer: this.url, jwks_uri: `${this.url}/keys` };
    if (path === "/keys")
      return { keys: [{ ...rsa.publicKey.export({ format: "jwk" }), kid: "one", alg: "RS256", use: "sig" }] };
    if (path === "/broken") return undefined;
    const review = JSON.parse(text) as Review;
    this.asked.push(review);
    const { spec } = review;
    if (path === "/images") {
      const bad = (spec["containers"] as unknown as { image: string }[]).some(({ image }) => image.includes("latest"));
      return { status: { allowed: !bad, reason: bad ? "no latest images here" : "" } };
    }
    if (path === "/tokens") {
      const known = String(spec["token"]) === "magic";
      const user = { username: "merlin", groups: ["wizards"] };
      return { ...review, status: known ? { authenticated: true, user } : { authenticated: false } };
    }
    const { verb, resource } = spec["resourceAttributes"] ?? {};
    const refused = { allowed: false, denied: resource === "secrets", reason: "the webhook says no" };
    return { ...review, status: verb === "list" && resource === "configmaps" ? { allowed: true } : refused };
  }
}

const WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/** Asks the server who it takes the bearer of a token for. */
export const who = (master: TestMaster, token: string) => master.ask(WHO, { token, body: {} });
type Info = { username: string; groups: string[]; extra?: Record<string, string[]> };
export const userOf = (reply: { json: Record<string, unknown> }): Info =>
  (reply.json["status"] as { userInfo: Info }).userInfo;
