import type { Clock } from "#pkg/util/index.ts";
import type { Transport, TransportRequest } from "./transport.ts";

/** Hears how each request went. `code` is the status of the answer, or "<error>" where none came; `seconds` until it began. */
export type RequestObserver = (method: string, code: string, seconds: number) => void;

/** The same transport, with each of its requests told of. */
export function observedTransport(transport: Transport, clock: Clock, observe: RequestObserver): Transport {
  const told = async <R extends { readonly status: number }>({ method }: TransportRequest, answer: Promise<R>) => {
    const startedAt = clock.monotonic();
    const tell = (code: string) => observe(method, code, (clock.monotonic() - startedAt) / 1000);
    try {
      const response = await answer;
      tell(String(response.status));
      return response;
    } catch (error) {
      tell("<error>");
      throw error;
    }
  };
  return {
    request: (request) => told(request, transport.request(request)),
    stream: (request) => told(request, transport.stream(request)),
    close: () => transport.close(),
  };
}
