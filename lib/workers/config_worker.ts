/** Entry of the config worker: no rights at all; YAML text in, plain data out. */
import { parseConfig } from "../config/parse_config.ts";
import { checkSecret } from "../protocol/secret.ts";
import { servePort } from "./serve_port.ts";

servePort({
  parse: (text: string, fileName: string, directory: string) => parseConfig(text, { fileName, directory, checkSecret }),
});
