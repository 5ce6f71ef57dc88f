/** The audit worker on a disk that hangs as soon as the logs are to be closed. */
import "../../lib/workers/audit_worker.ts";

// Types know no worker here: the main thread's are the ones that count.
const scope = self as unknown as { onmessage: (event: MessageEvent<{ readonly method?: string }>) => void };
const receive = scope.onmessage;
scope.onmessage = (event) => {
  if (event.data.method !== "close") receive.call(scope, event);
};
