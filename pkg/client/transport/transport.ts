/** One HTTP-shaped request, however it travels. */
export interface TransportRequest {
  readonly method: string;
  /** Path and query, already encoded. */
  readonly path: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Aborting ends the request; the promise or the body then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface TransportResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface StreamedResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Leaving the loop early ends the request. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** Carries requests to an API server. Rejects with ConnectionError when there was no answer; an HTTP error is an answer. */
export interface Transport {
  request(request: TransportRequest): Promise<TransportResponse>;
  /** For responses that arrive over time (watch, logs). */
  stream(request: TransportRequest): Promise<StreamedResponse>;
  /** Ends all requests and releases the connection. */
  close(): void;
}

/** Collects a streamed response into a whole one. */
export async function collect(response: StreamedResponse): Promise<TransportResponse> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return { status: response.status, headers: response.headers, body: Buffer.concat(chunks) };
}
