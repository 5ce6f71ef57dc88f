import { systemRandom } from "../../env/system.ts";
import { generateSecret } from "../../protocol/secret.ts";
import { print } from "./screen.ts";

/** `tightrope secret`: one line on stdout. */
export function secret(): void {
  print(`${generateSecret(systemRandom)}\n`);
}
