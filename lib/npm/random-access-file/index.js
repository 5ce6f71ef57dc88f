// The real one brings fs-native-extensions, whose addon ends a Deno process with a symbol lookup error, and never syncs.
module.exports = class RandomAccessFile {
  constructor() {
    throw new Error(
      "random-access-file is not available: give Hypercore a storage (lib/audit/storage.ts)",
    );
  }
};
