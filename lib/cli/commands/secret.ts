import { systemRandom } from "../../env/system.ts";
import { generateSecret } from "../../protocol/secret.ts";

/** `tightrope secret`: one line on stdout. */
export function secret(): void {
  console.log(generateSecret(systemRandom));
}
