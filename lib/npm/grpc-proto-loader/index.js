// grpc-js asks for it only to serve channelz and ORCA, its own debugging services.
throw new Error("@grpc/proto-loader is not loaded: Tightrope's messages are generated ahead (lib/lightning/lnd/gen)");
