// A worker in Node, on the adapter for Node: node worker.mjs ROOT AGENT FOLDER ADAPTER
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [root, agent, folder, adapter] = process.argv.slice(2);
const { Taskdir } = await import(pathToFileURL(adapter)); // else: import { Taskdir } from "taskdir"

const work = {
  count: (data) => ({ lines: data.filter((byte) => byte === 10).length, bytes: data.length }),
  hash: (data) => ({ sha256: createHash("sha256").update(data).digest("hex") }),
  outline: (data) => ({
    names: data.toString("latin1").split("\n").flatMap((line) => {
      const found = /^(?:class|def|function) ([A-Za-z_][A-Za-z0-9_]*)/.exec(line);
      return found ? [found[1]] : [];
    }),
  }),
};

const parent = process.ppid;
const gone = new AbortController();
setInterval(() => process.ppid === parent || gone.abort(), 50).unref();
process.on("SIGTERM", () => gone.abort());

const handler = ({ task }) => work[task.type](readFileSync(join(folder, task.input.path)));
await new Taskdir(root).work(agent, handler, { signal: gone.signal });
