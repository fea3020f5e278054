import type { UserInfo } from "#pkg/apimachinery/index.ts";

/**
 * What an in-process transport needs of an API server: the server's own ApiHandler satisfies it, so that this module
 * need not know the server.
 */
export interface RequestHandler {
  /** Never rejects: failures become Status responses. */
  handle(request: HandlerRequest, response: HandlerResponse): Promise<void>;
}
export interface HandlerRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  body(): Promise<Buffer>;
  readonly remoteAddress: string;
  readonly peer: { readonly user?: UserInfo };
  readonly signal: AbortSignal;
}
export interface HandlerResponse {
  send(status: number, headers: Record<string, string>, body: Buffer | readonly Buffer[]): void;
  stream(status: number, headers: Record<string, string>): HandlerStream;
}
export interface HandlerStream {
  write(chunk: Buffer): boolean;
  drained(): Promise<void>;
  end(): void;
  destroy(): void;
}
