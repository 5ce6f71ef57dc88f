import assert from "node:assert/strict";
import { join } from "node:path";
import { TightropeError } from "../../lib/domain/errors.ts";
import { checkConfiguredFiles, readConfigFile } from "../../lib/config/load.ts";
import type { ConfiguredFile } from "../../lib/config/problem.ts";

async function inDirectory(files: Record<string, string | Uint8Array>, use: (path: string) => Promise<void>) {
  const directory = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      if (typeof content === "string") await Deno.writeTextFile(join(directory, name), content, { mode: 0o600 });
      else await Deno.writeFile(join(directory, name), content, { mode: 0o600 });
    }
    await use(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function errorOf(promise: Promise<unknown>): Promise<TightropeError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof TightropeError, String(error));
    return error;
  }
  throw new Error("nothing was thrown");
}

Deno.test("readConfigFile() reads the text and says where it lies", () =>
  inDirectory({ "c.yaml": "secret: ä\n" }, async (directory) => {
    const path = join(directory, "c.yaml");
    assert.deepEqual(await readConfigFile(path), { text: "secret: ä\n", fileName: path, directory, warnings: [] });
    await Deno.chmod(path, 0o644);
    assert.match((await readConfigFile(path)).warnings.join(), /^Every user of this machine can read .*: chmod 600/);
  }));

Deno.test("readConfigFile() explains a file that isn't there, isn't a file, isn't text", () =>
  inDirectory({ "latin1.yaml": Uint8Array.of(0xe4, 0x0a) }, async (directory) => {
    const table: readonly [string, RegExp][] = [
      ["none.yaml", /none\.yaml": it doesn't exist$/],
      ["latin1.yaml/x", /it doesn't exist$/],
      [".", /: it is a directory$/],
      ["latin1.yaml", /: it isn't UTF-8 text$/],
    ];
    for (const [name, want] of table) {
      const error = await errorOf(readConfigFile(join(directory, name)));
      assert.equal(error.code, "config", name);
      assert.match(error.message, want);
      assert.notEqual(error.remedy, "");
    }
  }));

Deno.test({
  name: "readConfigFile() explains a file that may not be read",
  permissions: { read: false },
  async fn() {
    const error = await errorOf(readConfigFile("/etc/hostname"));
    assert.equal(error.code, "permission");
    assert.match(error.message, /^Cannot read the configuration "\/etc\/hostname": permission denied$/);
  },
});

const named = (purpose: ConfiguredFile["purpose"], path: string, line = 1): ConfiguredFile => ({
  purpose,
  path,
  setting: purpose === "certificate" ? "lightningNodes[0].certPath" : "lightningNodes[0].macaroonPath",
  line,
  column: 7,
});

Deno.test("checkConfiguredFiles() names every file that can't be used, with its place in the configuration", () =>
  inDirectory(
    { "empty": "", "text.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n", "good.macaroon": Uint8Array.of(2, 1) },
    async (directory) => {
      const at = (name: string) => join(directory, name);
      await checkConfiguredFiles([named("macaroon", at("good.macaroon"))], "c.yaml");
      const error = await errorOf(checkConfiguredFiles([
        named("certificate", at("none"), 1),
        named("certificate", at("empty"), 2),
        named("certificate", at("text.pem"), 3),
        named("macaroon", at("good.macaroon"), 4),
        named("macaroon", at("text.pem"), 5),
        named("macaroon", directory, 6),
      ], "c.yaml"));
      assert.equal(error.code, "config");
      assert.deepEqual(error.message.replaceAll(directory, "DIR").split("\n"), [
        'c.yaml:1:7: lightningNodes[0].certPath: cannot use the certificate "DIR/none": it doesn\'t exist',
        'c.yaml:2:7: lightningNodes[0].certPath: cannot use the certificate "DIR/empty": it is empty',
        'c.yaml:3:7: lightningNodes[0].certPath: cannot use the certificate "DIR/text.pem": it holds no whole PEM block of type CERTIFICATE',
        'c.yaml:5:7: lightningNodes[0].macaroonPath: cannot use the macaroon "DIR/text.pem": it holds PEM text, not a macaroon',
        'c.yaml:6:7: lightningNodes[0].macaroonPath: cannot use the macaroon "DIR": it is a directory; name the file, such as tightrope.macaroon, in it',
      ]);
    },
  ));

Deno.test({
  name: "checkConfiguredFiles() calls missing rights by their name",
  permissions: { read: false },
  async fn() {
    const error = await errorOf(checkConfiguredFiles([named("macaroon", "/etc/hostname")], "c.yaml"));
    assert.equal(error.code, "permission");
    assert.match(error.message, /permission denied; let this user read it$/);
  },
});
