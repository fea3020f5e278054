import { isIPv6 } from "node:net";

/** A failed dial, look-up or exchange as Node.js tells of it. */
type NetworkError = Error & NodeJS.ErrnoException & { address?: string; port?: number; hostname?: string };

const DIAL_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ETIMEDOUT: "connection timed out",
};

/** What went wrong on the network in Go's words: these are what users of Kubernetes know and search for. */
export function networkErrorText(error: Error): string {
  const { code = "", message, address, port, hostname } = error as NetworkError;
  const dial = DIAL_ERRORS[code];
  if (dial !== undefined && address !== undefined)
    return `dial tcp ${isIPv6(address) ? `[${address}]` : address}:${port}: connect: ${dial}`;
  if (code === "ENOTFOUND") return `dial tcp: lookup ${hostname}: no such host`;
  // Closed without an answer.
  if (code === "ECONNRESET" && message === "socket hang up") return "EOF";
  return message;
}

/** Why a backend that was to upgrade a connection gave no answer, in the words of upstream's proxies. */
export function backendErrorText(error: Error): string {
  const { code, syscall } = error as NetworkError;
  const text = networkErrorText(error);
  return syscall === "connect" || code === "ENOTFOUND" ? `error dialing backend: ${text}` : text;
}
