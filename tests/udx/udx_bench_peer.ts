/** Our side of the bench: what tests/interop/node/udx_bench.cjs measures, on this Deno with lib/udx. */
import serve from "../interop/node/udx_bench.cjs";
import { UDX } from "../../lib/udx/mod.ts";

await serve(UDX);
