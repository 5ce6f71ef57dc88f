import assert from "node:assert/strict";
import { isResolveWaiting, requestResolve, takeResolve, withdrawResolve } from "../../lib/audit/resolve_file.ts";
import { TightropeError } from "../../lib/domain/errors.ts";
import { hash } from "./records.ts";
import { plainReaders, readers } from "./readers.ts";
import { inTempFolder } from "./temp_folder.ts";

Deno.test("the operator's word about a payment is taken once, as it was given", async () => {
  await inTempFolder((folder) => {
    const paths = { resolveFile: `${folder}/resolve` };
    assert.equal(takeResolve(paths), undefined);
    requestResolve(paths, { paymentHash: hash(1), as: "settled" });
    assert.ok(isResolveWaiting(paths));
    assert.deepEqual(takeResolve(paths), { paymentHash: hash(1), as: "settled" });
    assert.equal(takeResolve(paths), undefined);
    requestResolve(paths, { paymentHash: hash(2), as: "failed" });
    withdrawResolve(paths);
    assert.equal(isResolveWaiting(paths), false);
    withdrawResolve(paths);
    return Promise.resolve();
  });
});

Deno.test("a word that the daemon may not read doesn't end it, and one that root leaves is readable", async () => {
  await inTempFolder((folder) => {
    const paths = { resolveFile: `${folder}/resolve` };
    requestResolve(paths, { paymentHash: hash(1), as: "settled" });
    assert.equal(readers(paths.resolveFile), plainReaders(folder));
    const { readTextFileSync } = Deno;
    Deno.readTextFileSync = () => {
      throw new Deno.errors.PermissionDenied("Permission denied (os error 13)");
    };
    try {
      assert.equal(takeResolve(paths), undefined);
    } finally {
      Deno.readTextFileSync = readTextFileSync;
    }
    assert.equal(isResolveWaiting(paths), false);
    return Promise.resolve();
  });
});

Deno.test("a word that its operator takes back while the daemon looks at it is none, and doesn't end the daemon", async () => {
  await inTempFolder((folder) => {
    const paths = { resolveFile: `${folder}/resolve` };
    for (const name of ["statSync", "readTextFileSync"] as const) {
      requestResolve(paths, { paymentHash: hash(1), as: "settled" });
      const real = Deno[name];
      let looks = 0;
      const takingBack = (path: string) => {
        // The first look only asks whether it is there.
        if (name === "readTextFileSync" || ++looks === 2) withdrawResolve(paths);
        return real(path);
      };
      Object.assign(Deno, { [name]: takingBack });
      try {
        assert.equal(takeResolve(paths), undefined);
      } finally {
        Object.assign(Deno, { [name]: real });
      }
    }
    return Promise.resolve();
  });
});

Deno.test("what isn't understood is dropped, and changes nothing", async () => {
  await inTempFolder((folder) => {
    const paths = { resolveFile: `${folder}/resolve` };
    const good = { v: 1, paymentHash: hash(1), as: "failed" };
    const bad = [
      "",
      "{",
      "null",
      "7",
      JSON.stringify({ ...good, v: 2 }),
      JSON.stringify({ ...good, as: "paid" }),
      JSON.stringify({ ...good, paymentHash: "ab" }),
      JSON.stringify({ ...good, more: "x".repeat(5_000) }),
    ];
    for (const text of bad) {
      Deno.writeTextFileSync(paths.resolveFile, text);
      assert.equal(takeResolve(paths), undefined, text);
      assert.equal(isResolveWaiting(paths), false);
    }
    assert.throws(
      () => requestResolve({ resolveFile: `${folder}/nowhere/resolve` }, { paymentHash: hash(1), as: "failed" }),
      (error) => error instanceof TightropeError && error.code === "temporary",
    );
    return Promise.resolve();
  });
});
