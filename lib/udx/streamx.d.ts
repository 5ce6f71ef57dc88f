// The part of streamx (https://github.com/mafintosh/streamx), which brings no types, that duplex.ts uses.
import { EventEmitter } from "node:events";

export class Duplex extends EventEmitter {
  constructor(options?: { mapWritable?: (data: unknown) => unknown; eagerOpen?: boolean });
  readonly destroying: boolean;
  readonly destroyed: boolean;
  push(data: Uint8Array | null): boolean;
  write(data: Uint8Array | string): boolean;
  end(data?: Uint8Array | string): this;
  read(): Uint8Array | null;
  pause(): this;
  resume(): this;
  destroy(error?: Error | null): void;
  _read(callback: (error: Error | null) => void): void;
  _writev(batch: Uint8Array[], callback: (error: Error | null) => void): void;
  _final(callback: (error: Error | null) => void): void;
  _predestroy(): void;
  _destroy(callback: (error: Error | null) => void): void;
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array>;
}

export const Writable: { drained(stream: Duplex): Promise<boolean> };
