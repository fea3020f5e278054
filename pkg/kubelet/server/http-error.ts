/** An answer that is an error for the client, in plain text as upstream's kubelet gives it. */
export class HttpError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
