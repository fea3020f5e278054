/** What an answer of a webhook has to say of itself, in the words of upstream's client: which review it is, and of which request. */
import { notConvertible, notRegistered } from "./document-type.ts";

/** The type that a document names; "" where it names none. */
export interface DocumentType {
  readonly apiVersion: string;
  readonly kind: string;
}

/** The types that upstream's client of webhooks reads. */
const SCHEME = "k8s.io/apiserver/pkg/util/webhook/client.go:71";

export function documentType(answer: Readonly<Record<string, unknown>>): DocumentType {
  return { apiVersion: String(answer["apiVersion"] ?? ""), kind: String(answer["kind"] ?? "") };
}

/** Does it say what it is? */
export function isNamed({ apiVersion, kind }: DocumentType): boolean {
  return apiVersion !== "" && kind !== "";
}

/**
 * Why an answer that says what it is, is not the review that was sent; undefined for one that is, or does not say.
 * `known` are the types that the caller could have sent, as "group/version, Kind=Name".
 */
export function wrongReview(found: DocumentType, wanted: DocumentType, known: ReadonlySet<string>): string | undefined {
  const { apiVersion, kind } = found;
  if (!isNamed(found) || (apiVersion === wanted.apiVersion && kind === wanted.kind)) return undefined;
  if (!known.has(`${apiVersion}, Kind=${kind}`)) return notRegistered(apiVersion, kind, SCHEME);
  return notConvertible(apiVersion, kind, `${wanted.apiVersion.split("/").at(-1)!}.${wanted.kind}`);
}

/** The complaint about a review of version v1 that does not say that it is one. */
export function unnamedReview(found: DocumentType, wanted: DocumentType): string {
  const got = `${found.apiVersion === "" ? "/" : found.apiVersion}, Kind=${found.kind}`;
  return `expected webhook response of ${wanted.apiVersion}, Kind=${wanted.kind}, got ${got}`;
}

/** @throws Error where a response is to another request than ours. */
export function assertAnswers(uid: string, response: Readonly<Record<string, unknown>>): void {
  const said = response["uid"] ?? "";
  if (said !== uid) throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(said)}`);
}
