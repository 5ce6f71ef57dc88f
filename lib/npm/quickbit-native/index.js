throw new Error("quickbit-native is not loaded: Tightrope runs no native code");
