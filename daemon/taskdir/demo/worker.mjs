// A worker in plain Node, without any package: node worker.mjs ROOT AGENT FOLDER
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as rest } from "node:timers/promises";

const [root, agent, folder] = process.argv.slice(2);
const mine = join(root, "claimed", agent);
const ready = join(root, "ready", "default");
const parent = process.ppid;
mkdirSync(mine, { recursive: true });

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

/** Take the first offer by renaming it; undefined when there is none. */
function claim() {
  for (const name of readdirSync(ready).sort()) {
    try {
      renameSync(join(ready, name), join(mine, name));
      return join(mine, name);
    } catch (error) {
      if (error.code !== "ENOENT") throw error; // somebody was first: take the next one
    }
  }
}

while (process.ppid === parent) {
  const path = claim();
  if (!path) {
    await rest(50);
    continue;
  }
  const task = JSON.parse(readFileSync(path, "utf8"));
  const output = work[task.type](readFileSync(join(folder, task.input.path)));
  const result = join(mine, task.result_file);
  writeFileSync(join(mine, ".result"), JSON.stringify({ status: "ok", output }));
  renameSync(join(mine, ".result"), result);
  while (existsSync(result) || existsSync(path)) await rest(10); // both gone: accepted
}
