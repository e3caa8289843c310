// Question: must this checkout be built?
//
// npm runs `prepare` after `npm ci` and `npm install`. A build takes more than a minute and replaces `dist` under those
// who run from it. So it is made only where a source is newer than what was built: every file and folder that the build
// reads is compared with the page, which is built last.
//
// npm also runs `prepare` when `npx birkhoff` is typed in a clone for the first time, because npx links the clone into
// its cache first. A command that is used is no command to build: what was built is run as it is, also where a source
// is newer, since a server or a training may be running from it. Where nothing was built, bin/birkhoff.js says so. This
// file is plain JavaScript, because npx runs it with the Node of the system, which may not read TypeScript.

import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = ["src", "web", "scripts", "package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json"];
const lastBuilt = path.join(root, "dist/web/index.html");

/**
 * When a file, or anything in a folder, was last changed, in milliseconds.
 *
 * @param {string} place
 * @returns {number}
 */
function changed(place) {
  const stat = statSync(place);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(place).reduce((newest, name) => Math.max(newest, changed(path.join(place, name))), stat.mtimeMs);
}

function isBuilt() {
  const built = statSync(lastBuilt, { throwIfNoEntry: false });
  return built !== undefined && sources.every((source) => changed(path.join(root, source)) <= built.mtimeMs);
}

const isNpx = process.env.npm_command === "exec";
if (!isNpx && !isBuilt())
  execFileSync("npm", ["run", "build"], { cwd: root, stdio: "inherit", shell: process.platform === "win32" });
