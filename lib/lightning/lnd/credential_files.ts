import { messageOf, TightropeError } from "../../domain/errors.ts";
import type { CredentialSource, LndNodeConfig } from "../../config/config.ts";
import { type LndCredentials, parseCertificate, parseMacaroon } from "./credentials.ts";

/**
 * Reads a node's certificate and macaroon as they stand now.
 * @throws TightropeError (config) when one can't be read or isn't what it should be
 */
export async function readCredentials(node: LndNodeConfig): Promise<LndCredentials> {
  const cert = await valueOf(node.cert, "certificate");
  const macaroon = await valueOf(node.macaroon, "macaroon");
  return {
    certificate: parseCertificate(cert, sourceName(node.cert, `cert of ${node.socket}`)),
    macaroonHex: parseMacaroon(macaroon, sourceName(node.macaroon, `macaroon of ${node.socket}`)),
  };
}

async function valueOf(source: CredentialSource, what: string): Promise<string | Uint8Array> {
  if (source.kind === "inline") return source.value;
  try {
    return await Deno.readFile(source.path);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable
      ? "permission denied"
      : messageOf(error);
    throw new TightropeError(
      "config",
      `Cannot read ${what} "${source.path}": ${reason}`,
      "Correct the path, or let the user that runs Tightrope read the file.",
      { cause: error },
    );
  }
}

function sourceName(source: CredentialSource, inline: string): string {
  return source.kind === "file" ? source.path : inline;
}
