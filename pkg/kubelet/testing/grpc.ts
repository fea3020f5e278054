/** gRPC servers for tests, whose messages stay bytes. */
import * as grpc from "@grpc/grpc-js";

const bytes = (value: Buffer) => value;

/** A call with one request and one answer, by its path: /package.Service/Method. */
export function unaryMethod(path: string) {
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  } as const;
}

/** Resolves to the port when the server listens. */
export function listen(server: grpc.Server, address: string): Promise<number> {
  return new Promise((resolve, reject) =>
    server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
}
