// The servers of `python -m local contract`: Secrets Manager, an API, and one that sets both up.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
const OF_THIS_REPOSITORY = `${ROOT}.venv/bin/python`;

/** Start the servers, and point the AWS SDK of this process to them. Stop them with `stop`. */
export async function startServers() {
  const python = process.env.PYTHON ?? OF_THIS_REPOSITORY;
  if (!process.env.PYTHON && !existsSync(python)) {
    throw new Error(`${python} is missing: run \`make typescript\` at the root, or set PYTHON`);
  }
  // Its end of the standard input closes with this process, and then the servers stop.
  const child = spawn(python, ["-m", "local", "contract"], { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
  const stopped = new Promise((resolve) => {
    child.once("exit", resolve);
  });
  const urls = await firstLine(child);
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: "testing",
    AWS_SECRET_ACCESS_KEY: "testing",
    AWS_REGION: "us-east-1",
    AWS_ENDPOINT_URL_SECRETS_MANAGER: urls.secrets_manager,
  });
  return {
    api: urls.api,
    reset: () => post(`${urls.control}reset`),
    change: (world) => post(urls.control, world),
    counts: async () => (await fetch(urls.control)).json(),
    stop: async () => {
      child.stdin.end();
      await stopped;
    },
  };
}

async function firstLine(child) {
  for await (const line of createInterface({ input: child.stdout })) {
    return JSON.parse(line);
  }
  throw new Error("the servers did not start");
}

async function post(url, world = {}) {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(world) });
  if (!response.ok) {
    throw new Error(await response.text());
  }
}
