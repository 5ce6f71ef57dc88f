import type { AuditConfig, LndNodeConfig } from "../config/config.ts";

/** The rights of one worker; whatever isn't named is denied. No worker ever has env, run, ffi or import. */
export interface WorkerRights {
  readonly net?: true | readonly string[];
  readonly read?: readonly string[];
  readonly write?: readonly string[];
  readonly sys?: readonly "networkInterfaces"[];
}

/** Parses what the operator wrote; needs nothing. */
export const configRights: WorkerRights = {};

/** Deno can't grant UDP alone; and Hyperswarm looks at the network interfaces. */
export const swarmRights: WorkerRights = { net: true, sys: ["networkInterfaces"] };

/** The configured sockets only, and exactly the files that hold certificates and macaroons, to follow their renewal. */
export function lightningRights(nodes: readonly LndNodeConfig[]): WorkerRights {
  const files = nodes.flatMap((node) =>
    [node.cert, node.macaroon].flatMap((source) => source.kind === "file" ? [source.path] : [])
  );
  return { net: nodes.map((node) => node.socket), ...(files.length > 0 ? { read: files } : {}) };
}

/** The data directory only. */
export function auditRights(audit: AuditConfig): WorkerRights {
  return { read: [audit.storagePath], write: [audit.storagePath] };
}

/** Looking at the logs from beside a running daemon. */
export function logReaderRights(audit: AuditConfig): WorkerRights {
  return { read: [audit.storagePath] };
}

/** The demo's simulated nodes listen on the loopback interface; its DHT uses UDP and looks at the interfaces. */
export const demoWorldRights: WorkerRights = { net: true, sys: ["networkInterfaces"] };
