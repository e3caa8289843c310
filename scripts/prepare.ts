// Question: must this checkout be built?
//
// npm runs `prepare` after `npm ci`, and again whenever `npx birkhoff` is typed in a clone, because npx installs the
// clone into its cache first. A build takes more than a minute and replaces `dist` under those who run from it. So it
// is made only where a source is newer than what was built: every file and folder that the build reads is compared
// with the page, which is built last.

import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = ["src", "web", "scripts", "package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json"];
const lastBuilt = path.join(root, "dist/web/index.html");

/** When a file, or anything in a folder, was last changed, in milliseconds. */
function changed(place: string): number {
  const stat = statSync(place);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(place).reduce((newest, name) => Math.max(newest, changed(path.join(place, name))), stat.mtimeMs);
}

function isBuilt(): boolean {
  const built = statSync(lastBuilt, { throwIfNoEntry: false });
  return built !== undefined && sources.every((source) => changed(path.join(root, source)) <= built.mtimeMs);
}

if (!isBuilt())
  execFileSync("npm", ["run", "build"], { cwd: root, stdio: "inherit", shell: process.platform === "win32" });
