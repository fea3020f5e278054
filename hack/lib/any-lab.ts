import { existsSync } from "node:fs";
import { join } from "node:path";
import { Lab } from "./lab.ts";
import { VmLab } from "./vm/vm-lab.ts";

export interface LabMachine {
  /** Also of the node that it is. */
  readonly name: string;
  readonly address: string;
  readonly address6?: string;
}
export interface RunOptions {
  readonly timeoutMs?: number;
  readonly allowFailure?: boolean;
  readonly stdin?: string;
}

/** A lab, whatever its nodes are made of: network namespaces or virtual machines. */
export interface AnyLab {
  readonly dir: string;
  readonly nodes: readonly LabMachine[];
  readonly master: LabMachine;
  readonly server: string;
  /** The administrator's kubeconfig, a file of this machine. */
  readonly adminConf: string;
  /** Put in front of a command of this machine that is to reach the cluster's addresses. */
  readonly reach: readonly string[];
  /** Runs a command on a node. */
  run(
    node: LabMachine,
    file: string,
    args: readonly string[],
    options?: RunOptions,
  ): Promise<{ readonly stdout: string; readonly stderr: string; readonly exitCode: number }>;
  /** The command line here that runs a command on a node with the administrator's kubeconfig. */
  commandOn(node: LabMachine, command: readonly string[]): string[];
  /** kubectl of this machine with the administrator's kubeconfig. */
  kubectl(...args: string[]): Promise<string>;
  destroy(): Promise<void>;
}

/** Labs of both kinds, told apart by what is in their directory. */
export const isVmLab = (dir: string): boolean => existsSync(join(dir, "vm-lab.json"));
export const isLab = (dir: string): boolean => existsSync(join(dir, "nodes")) || isVmLab(dir);

/** A lab that another process has started. */
export function attachLab(dir: string): AnyLab {
  return isVmLab(dir) ? VmLab.attach(dir) : Lab.attach(dir);
}
