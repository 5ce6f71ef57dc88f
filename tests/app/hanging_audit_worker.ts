/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
/** The audit worker on a disk that hangs as soon as the logs are to be closed. */
await import("../../lib/workers/audit_worker.ts");
const receive = self.onmessage!;
self.onmessage = (event: MessageEvent<{ readonly method?: string }>) => {
  if (event.data.method !== "close") receive.call(self, event);
};
