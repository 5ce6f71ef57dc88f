/// <reference lib="deno.worker" />
import { type Batch, runBatch } from "./batch.ts";

/** Runs seeds for simulate.ts, on a core of its own. */
self.onmessage = ({ data }: MessageEvent<Batch>) => self.postMessage(runBatch(data));
