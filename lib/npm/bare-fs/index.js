throw new Error("bare-fs is not loaded: Tightrope runs no native code");
