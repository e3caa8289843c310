// Question: what does somebody get who installs the package in an empty project?
//
// The package is packed from the repository as it was last built, and installed by npm without scripts. npm asks its
// cache first, so that a machine without a network can do it too.

import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const shell = process.platform === "win32";

export interface Installed {
  /** The project's node_modules. */
  readonly modules: string;
  /** The names of the packages in it. */
  readonly packages: readonly string[];
  /** The bytes of all files in it. */
  readonly bytes: number;
  /** The command's file. */
  readonly command: string;
}

/** Why the package could not be installed, though nothing is wrong with it. */
export interface NotInstalled {
  readonly skipped: string;
}

/** Pack the package and install it in an empty folder. */
export function installPackage(folder: string): Installed | NotInstalled {
  if (!fs.existsSync(path.join(root, "dist/web/index.html")))
    return { skipped: "the package is not built: npm run build" };
  const options = ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder];
  const packed = execFileSync("npm", options, { cwd: root, encoding: "utf8", shell }).trim();
  fs.writeFileSync(path.join(folder, "package.json"), '{ "type": "module", "private": true }\n');
  const { status, stderr } = spawnSync(
    "npm",
    ["install", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", `./${packed}`],
    { cwd: folder, encoding: "utf8", shell },
  );
  const [unreachable] = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTCACHED)\b/.exec(stderr) ?? [];
  if (status !== 0 && unreachable) return { skipped: `the registry of npm cannot be reached (${unreachable})` };
  if (status !== 0) throw new Error(`npm install of the package failed:\n${stderr}`);
  const modules = path.join(folder, "node_modules");
  const manifest = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")) as {
    bin: { birkhoff: string };
  };
  return {
    modules,
    packages: packagesIn(modules),
    bytes: bytesOf(modules),
    command: path.join(modules, "birkhoff", manifest.bin.birkhoff),
  };
}

/** Names of packages, those with a scope as @scope/name. */
function packagesIn(modules: string): string[] {
  const names = fs.readdirSync(modules).filter((name) => !name.startsWith("."));
  return names
    .flatMap((name) =>
      name.startsWith("@") ? fs.readdirSync(path.join(modules, name)).map((inner) => `${name}/${inner}`) : [name],
    )
    .sort();
}

const bytesOf = (folder: string): number =>
  fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + fs.statSync(path.join(entry.parentPath, entry.name)).size, 0);
