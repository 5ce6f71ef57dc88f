import type { ServiceDefinition } from "@grpc/grpc-js";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** LND's official protos, as the npm package `lightning` carries them: the independent other side of the wire. */

/** A message or enum as protobufjs describes it. */
export interface OfficialType {
  readonly type: {
    readonly field?: readonly {
      readonly name: string;
      readonly number: number;
      readonly label: string;
      readonly type: string;
      readonly typeName: string;
    }[];
    readonly value?: readonly OfficialValue[];
    readonly enumType?: readonly { readonly name: string; readonly value: readonly OfficialValue[] }[];
  };
}

interface OfficialValue {
  readonly name: string;
  readonly number: number;
}

type Loaded = Readonly<Record<string, OfficialType | ServiceDefinition>>;

const entry = fileURLToPath(import.meta.resolve("lightning"));
const loader: { loadSync(files: readonly string[], options: Record<string, unknown>): Loaded } = createRequire(entry)(
  "@grpc/proto-loader",
);
const loaded = loader.loadSync(["lightning.proto", "router.proto", "invoices.proto", "stateservice.proto"], {
  includeDirs: [`${dirname(entry)}/grpc/protos`],
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
  keepCase: true,
});

/** A service as grpc-js serves and calls it. */
export function officialService(typeName: string): ServiceDefinition {
  const found = loaded[typeName];
  if (found === undefined || "type" in found) throw new Error(`LND has no service ${typeName}`);
  return found as ServiceDefinition;
}

export function officialType(typeName: string): OfficialType["type"] {
  const found = loaded[typeName];
  if (found === undefined || !("type" in found)) throw new Error(`LND has no type ${typeName}`);
  return (found as OfficialType).type;
}
