import { type ClientHttp2Stream, connect, type OutgoingHttpHeaders, type SecureClientSessionOptions } from "node:http2";

/** So large that the answers never wait for us. */
const WINDOW_BYTES = 64 * 1024 * 1024;

/** A connection whose answers nobody parses, so that a measurement is not one of the client. */
export interface Connection {
  /** Reads the whole answer and returns its length. @throws when it is not a success */
  get(path: string, headers?: OutgoingHttpHeaders): Promise<number>;
  post(path: string, body: Buffer, headers?: OutgoingHttpHeaders): Promise<number>;
  /** Begins a request whose answer has no end. */
  follow(path: string, onData: (chunk: Buffer) => void): ClientHttp2Stream;
  close(): void;
}

export function connectTo(url: string, options: SecureClientSessionOptions): Connection {
  const session = connect(url, { ...options, settings: { initialWindowSize: WINDOW_BYTES } });
  session.once("connect", () => session.setLocalWindowSize(WINDOW_BYTES));
  session.on("error", () => undefined); // the requests fail with it
  const whole = (headers: OutgoingHttpHeaders, body?: Buffer) =>
    new Promise<number>((resolve, reject) => {
      const stream = session.request(headers, { endStream: body === undefined });
      let size = 0;
      let status = 0;
      stream.on("response", (head) => (status = head[":status"] ?? 0));
      stream.on("error", reject);
      stream.on("data", (chunk: Buffer) => (size += chunk.length));
      stream.on("end", () => {
        if (status < 300) resolve(size);
        else reject(new Error(`${String(headers[":path"])} was answered with ${status}`));
      });
      if (body !== undefined) stream.end(body);
    });
  return {
    get: (path, headers = {}) => whole({ ...headers, ":path": path }),
    post: (path, body, headers = {}) => whole({ ...headers, ":path": path, ":method": "POST" }, body),
    follow: (path, onData) => {
      const stream = session.request({ ":path": path });
      stream.on("data", onData);
      stream.on("error", () => undefined); // what is missing is counted
      return stream;
    },
    close: () => session.destroy(),
  };
}
