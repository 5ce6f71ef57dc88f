throw new Error("crc-native is not loaded: Tightrope runs no native code");
