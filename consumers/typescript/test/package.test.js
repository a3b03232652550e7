// The package as a service gets it: packed by npm, and unpacked next to the AWS SDK.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { startServers } from "./tools/servers.js";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../../examples/node.mjs", import.meta.url));
const run = promisify(execFile);

it("the packed package has what it needs, and the example calls the API with it", async (t) => {
  const service = await mkdtemp(join(tmpdir(), "service-"));
  t.after(() => rm(service, { recursive: true }));
  const packed = join(service, "node_modules", "tango-token");
  await mkdir(packed, { recursive: true });
  const pack = ["pack", "--ignore-scripts", "--json", "--pack-destination", service];
  const [{ filename, files }] = JSON.parse((await run("npm", pack, { cwd: HERE })).stdout);
  const folders = new Set(files.map(({ path }) => path.split("/")[0]));
  assert.deepEqual(folders, new Set(["LICENSE", "README.md", "dist", "package.json"]));

  await run("tar", ["-xzf", join(service, filename), "--strip-components", "1", "-C", packed]);
  await symlink(join(HERE, "node_modules", "@aws-sdk"), join(service, "node_modules", "@aws-sdk"));
  await cp(EXAMPLE, join(service, "node.mjs"));
  const servers = await startServers();
  t.after(() => servers.stop());
  await servers.change({ secret: "token", document: { access_token: "first-token", expires_at: 4_000_000_000 } });
  await servers.change({ accepts: ["first-token"], refusal: 401 });
  const env = { ...process.env, TOKEN_SECRET_ID: "token", API_URL: servers.api };
  const { stdout } = await run(process.execPath, ["node.mjs"], { cwd: service, env });
  assert.equal(stdout, "200\n");
});

it("the version is the Python reader's", async () => {
  const { version } = JSON.parse(await readFile(join(HERE, "package.json"), "utf8"));
  const module = await readFile(join(HERE, "..", "python", "tango_token", "__init__.py"), "utf8");
  assert.equal(version, /^__version__ = "(.*)"$/m.exec(module)[1]);
});
