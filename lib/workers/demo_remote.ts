import type { NodeName, World, WorldChannel, WorldTraffic } from "../demo/world.ts";
import type { Random } from "../env/random.ts";
import { demoWorldRights } from "./rights.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** The simulated world of the demo: nodes with LND's gRPC, their channels and traffic, and a DHT of its own. */
export class DemoWorld {
  readonly handle: WorkerHandle;

  constructor(random: Random) {
    this.handle = new WorkerHandle(
      "demo world",
      new URL("./demo_worker.ts", import.meta.url),
      demoWorldRights,
      random,
    );
  }

  async open(): Promise<World> {
    return await this.handle.call("open") as World;
  }

  async setTraffic(on: boolean): Promise<void> {
    await this.handle.call("setTraffic", on);
  }

  async openChannel(from: NodeName, to: NodeName): Promise<void> {
    await this.handle.call("openChannel", from, to);
  }

  /** Every channel now. @throws when sats were lost or made */
  async channels(): Promise<readonly WorldChannel[]> {
    return await this.handle.call("channels") as readonly WorldChannel[];
  }

  async traffic(): Promise<WorldTraffic> {
    return await this.handle.call("traffic") as WorldTraffic;
  }

  async close(): Promise<void> {
    await this.handle.call("close");
    this.handle.terminate();
  }
}
