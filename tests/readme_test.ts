import assert from "node:assert/strict";
import { neededRpcs } from "../lib/lightning/lnd/permissions.ts";
import { configOf, smallConfig } from "./config/sample_config.ts";

/** What the README tells an operator, held against what the program does. Its commands are run in tests/app. */

const root = new URL("../", import.meta.url);
const readme = Deno.readTextFileSync(new URL("README.md", root));

Deno.test("the README's macaroon allows what is called, and no more", () => {
  const [recipe] = /^lncli bakemacaroon [\s\S]*?[^\\]$/m.exec(readme) ?? [];
  assert.deepEqual([...recipe!.matchAll(/uri:(\S+)/g)].map(([, rpc]) => rpc).sort(), [...neededRpcs].sort());
});

/** `10,000 sat` is 10000, `20 per 4h` is two values, `any` is no value. */
function valuesOf(cell: string): string[] {
  const plain = cell.replaceAll("`", "").replaceAll(/(?<=\d),(?=\d)| sat\b/g, "").trim();
  return /^(|any|any of the cluster|public DHT)$/.test(plain) ? [] : plain.split(" per ");
}

Deno.test("the README's defaults are the program's", () => {
  const settings: Record<string, unknown> = {};
  const put = (path: string, value: unknown) => {
    const keys = path.split(".");
    const last = keys.pop()!;
    let group = settings;
    for (const key of keys) group = (group[key] ??= {}) as Record<string, unknown>;
    group[last] = value;
  };
  const [section] = /^## Settings$[\s\S]*?(?=^## )/m.exec(readme) ?? [];
  let told = 0;
  for (const [, names, defaults] of section!.matchAll(/^\| (`[^|]*?) *\| ([^|]*?) *\|/gm)) {
    const paths = names!.replaceAll("`", "").split(", ");
    if (paths[0]!.startsWith("lightningNodes[]")) continue;
    const values = valuesOf(defaults!);
    values.forEach((value, i) => {
      const path = paths[i]!;
      const isTop = path.includes(".") || /^(allowWeakSecret|requireNodeProof)$/.test(path);
      put(isTop ? path : `limits.baseSettings.${path}`, value === "[]" ? [] : value);
      told++;
    });
  }
  assert.ok(told >= 19, `${told} defaults were found`);
  const yaml = Object.entries(settings).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`).join("");
  assert.deepEqual(configOf(smallConfig + yaml), configOf(smallConfig));
});

Deno.test("one version of Deno is pinned, and CI takes it from the README", () => {
  const versions = [...readme.matchAll(/\bdeno@?\s?(\d+\.\d+\.\d+)/gi)].map(([, version]) => version);
  assert.equal(new Set(versions).size, 1, versions.join());
  assert.doesNotMatch(Deno.readTextFileSync(new URL(".ci/run", root)), /deno@\d/);
});

Deno.test("the README's links lead somewhere", () => {
  const links = [...readme.matchAll(/\]\((?!http|#)([^)#]+)/g)].map(([, path]) => path!);
  assert.ok(links.length > 0);
  for (const path of links) Deno.statSync(new URL(path, root));
  const anchors = [...readme.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor!);
  const headings = [...readme.matchAll(/^#+ (.*)$/gm)].map(([, text]) => text!.toLowerCase().replaceAll(" ", "-"));
  assert.deepEqual(anchors.filter((anchor) => !headings.includes(anchor)), []);
});
