export type LogLevel = "debug" | "info" | "warn" | "error";

/** Values that may stand beside a log line. Never a secret, macaroon or preimage. */
export type LogFields = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

/** Where log lines go (stderr in the program, an array in tests). */
export interface Logger {
  log(level: LogLevel, message: string, fields?: LogFields): void;
}
