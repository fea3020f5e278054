/**
 * The library that makes certificates and requests and reads requests. It takes 3 MiB and a good part of a node agent's start, which
 * needs it twice a year: who works with it imports this file when there is something to do.
 */
import "reflect-metadata";

export * from "@peculiar/x509";
