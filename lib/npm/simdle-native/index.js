throw new Error("simdle-native is not loaded: Tightrope runs no native code");
