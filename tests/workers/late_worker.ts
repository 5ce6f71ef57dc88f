/** A worker whose first start fails while its modules load. The folder of its query counts the starts. */
import { servePort } from "../../lib/workers/serve_port.ts";

const folder = new URL(import.meta.url).searchParams.get("folder")!;
Deno.writeTextFileSync(`${folder}/${crypto.randomUUID()}`, "");
const attempts = [...Deno.readDirSync(folder)].length;
if (attempts === 1) throw new Error("a module isn't there");

servePort({ attempts: () => attempts });
