import { checkSecret } from "../../lib/protocol/secret.ts";
import { parseConfig, type ParsedConfig } from "../../lib/config/parse_config.ts";
import { formatProblem } from "../../lib/config/problem.ts";

export const generatedSecret = "tightrope-uau16bqnybpqdaan33wy57t3f5xsdex8eybkmk";

/** The least that a configuration must say. */
export const smallConfig = `secret: ${generatedSecret}
lightningNodes:
  - socket: localhost:10009
    certPath: tls.cert
    macaroonPath: tightrope.macaroon
`;

export function parse(text: string): ParsedConfig {
  return parseConfig(text, { fileName: "config.yaml", directory: "/etc/tightrope", checkSecret });
}

/** The problems as an operator sees them; throws when there are none. */
export function problemsOf(text: string): string[] {
  const parsed = parse(text);
  if (parsed.ok) throw new Error("the configuration was accepted");
  return parsed.problems.map(formatProblem);
}

/** The configuration; throws the problems when there are any. */
export function configOf(text: string): Extract<ParsedConfig, { ok: true }> {
  const parsed = parse(text);
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join("\n"));
  return parsed;
}
