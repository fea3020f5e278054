import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Lab } from "../lab.ts";
import { using } from "./interruptible.ts";

/** Starts a node of its own and measures it so many times from inside its network, where its API can be reached. */
export async function measureNode(runs: number): Promise<void> {
  let child: ChildProcess | undefined;
  const stop = async (lab: Lab) => {
    child?.kill();
    await lab.destroy();
  };
  await using(
    () => Lab.start({ nodes: 1 }),
    stop,
    async (lab) => {
      const [enter, ...args] = [...lab.master.enter, join(import.meta.dirname, "../../node")];
      child = spawn(enter!, [...args, join(import.meta.dirname, "node-phases.ts"), lab.dir, String(runs)], {
        stdio: "inherit",
      });
      const [code] = (await once(child, "exit")) as [number | null];
      if (code !== 0) throw new Error(`measuring the node ended with ${code ?? "a signal"}`);
    },
  );
}
