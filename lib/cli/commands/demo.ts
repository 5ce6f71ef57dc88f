import { Instance } from "../../app.ts";
import { certificateFile, macaroonFile, operatorConfigText } from "../../demo/operator_config.ts";
import { type Act, storyOf } from "../../demo/story.ts";
import { type Operator, operators, type World } from "../../demo/world.ts";
import { messageOf, unreachable } from "../../domain/errors.ts";
import { systemClock, systemRandom } from "../../env/system.ts";
import { generateSecret } from "../../protocol/secret.ts";
import { DemoWorld } from "../../workers/demo_remote.ts";
import type { Command } from "../args.ts";
import { DemoFold } from "../demo_fold.ts";
import { exitCodes } from "../exit_codes.ts";
import { hasPassed, type ViewModel } from "../view_model.ts";
import { type DemoScreen, JsonScreen, LiveScreen } from "./demo_screens.ts";
import { loadConfig } from "./load_config.ts";
import { reportError } from "./screen.ts";
import { StopSignals } from "./stop_signals.ts";

const frameMs = 100;

/**
 * `tightrope demo`: the seed's example as two whole instances that share nothing but a local DHT.
 * @returns 0 only if no satoshi was lost and, unless it was interrupted, every watched channel ended inside its deadzone
 */
export async function demo(command: Extract<Command, { kind: "demo" }>): Promise<number> {
  using signals = new StopSignals();
  const screen = command.json || !Deno.stdout.isTerminal() ? new JsonScreen() : new LiveScreen();
  const folder = await Deno.makeTempDir({ prefix: "tightrope-demo-" });
  const stage = new Stage(folder, screen, storyOf(command.seconds), command.seconds);
  try {
    const played = stage.play();
    // A signal ends the play in the middle of an act; what that act then misses is nobody's concern.
    signals.first.then(() => played.catch(() => {}));
    const interrupted = await Promise.race([played, signals.first, stage.failed]) !== undefined;
    const model = await stage.look();
    screen.close();
    await Promise.race([stage.close(), signals.second]);
    screen.summary(model);
    // Whoever interrupts the play in the middle of a drift hasn't found a fault.
    const passed = interrupted ? model.totals.conserved : hasPassed(model);
    return passed ? exitCodes.ok : exitCodes.software;
  } catch (error) {
    screen.close();
    reportError(error);
    await stage.close().catch(reportError);
    return exitCodes.software;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The world, the two operators, and what happens to them. */
class Stage {
  /** Never resolves; rejects when something broke that no act foresaw. */
  readonly failed: Promise<never>;
  readonly #fail: (error: unknown) => void;
  readonly #folder: string;
  readonly #screen: DemoScreen;
  readonly #acts: readonly Act[];
  readonly #fold: DemoFold;
  readonly #world = new DemoWorld(systemRandom);
  readonly #instances = new Map<Operator, Instance>();
  readonly #secrets: Record<Operator, string> = {
    Alice: generateSecret(systemRandom),
    Bob: generateSecret(systemRandom),
  };
  readonly #startedMs = systemClock.now().atMs;
  #scene: World | undefined;
  #frames: ReturnType<typeof setInterval> | undefined;
  #framing: Promise<void> | undefined;

  constructor(folder: string, screen: DemoScreen, acts: readonly Act[], seconds: number | undefined) {
    this.#folder = folder;
    this.#screen = screen;
    this.#acts = acts;
    this.#fold = new DemoFold({
      totalMs: seconds === undefined ? undefined : seconds * 1_000,
      acts,
      operators: Object.entries(operators).map(([name, nodes]) => ({ name, nodes })),
      balancePoint: 0.5,
      deadzone: 0.1,
    });
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    this.failed = promise;
    this.#fail = reject;
    this.#world.handle.died.catch(reject);
  }

  /** Plays the acts at their times; a story without an end goes on until it is stopped. */
  async play(): Promise<void> {
    this.#scene = await this.#world.open();
    for (const { pubkey, name } of this.#scene.nodes) this.#fold.nameNode(pubkey, name);
    this.#frames = setInterval(() => this.#framing ??= this.#frame(), frameMs);
    for (const act of this.#acts) {
      await delay(act.atMs - this.#elapsedMs());
      this.#screen.act(this.#elapsedMs(), act.title);
      await this.#perform(act);
    }
    if (this.#acts.at(-1)?.kind !== "end") await this.failed;
  }

  async #perform(act: Act): Promise<void> {
    switch (act.kind) {
      case "begin":
        await Promise.all([this.#start("Alice"), this.#start("Bob")]);
        return await this.#world.setTraffic(true);
      case "bob-joins":
        this.#fold.setOperator("Bob", "restarting");
        await this.#stop("Bob");
        this.#secrets.Bob = this.#secrets.Alice;
        return await this.#start("Bob");
      case "bob-opens":
        return await this.#world.openChannel("E", "B");
      case "traffic-stops":
        return await this.#world.setTraffic(false);
      case "end":
        return;
      default:
        unreachable(act.kind);
    }
  }

  /** Writes an operator's files as a person would, reads them as the program does, and starts an instance. */
  async #start(operator: Operator): Promise<void> {
    const scene = this.#scene!;
    const folder = `${this.#folder}/${operator}`;
    const own: readonly string[] = operators[operator];
    const nodes = scene.nodes.filter((node) => own.includes(node.name));
    const secret = this.#secrets[operator];
    await Deno.mkdir(folder, { recursive: true });
    for (const node of nodes) {
      await Deno.writeTextFile(`${folder}/${certificateFile(node)}`, node.certPem);
      await Deno.writeFile(`${folder}/${macaroonFile(node)}`, Uint8Array.fromHex(node.macaroonHex), { mode: 0o600 });
    }
    const path = `${folder}/config.yaml`;
    const text = operatorConfigText({ operator, secret, nodes, bootstrap: scene.bootstrap });
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    const instance = await Instance.start(await loadConfig(path, { credentials: true }), {
      dryRun: false,
      onRecord: (record) => {
        this.#fold.record(operator, record, this.#elapsedMs());
        this.#screen.record(this.#elapsedMs(), operator, record);
      },
    });
    instance.failed.catch(this.#fail);
    this.#instances.set(operator, instance);
    this.#fold.setOperator(operator, "running");
  }

  async #stop(operator: Operator): Promise<void> {
    const instance = this.#instances.get(operator);
    this.#instances.delete(operator);
    await instance?.stop();
  }

  async #frame(): Promise<void> {
    try {
      this.#screen.frame(await this.look());
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#framing = undefined;
    }
  }

  /** Everything as it stands now: the balances are the nodes' own. */
  async look(): Promise<ViewModel> {
    try {
      const [channels, traffic] = await Promise.all([this.#world.channels(), this.#world.traffic()]);
      this.#fold.setTraffic(traffic.count, traffic.amountSat);
      this.#fold.setChannels(channels.map(({ nodes: [first, second], localSat: [firstSat, secondSat], ...rest }) => ({
        ...rest,
        first,
        second,
        firstSat,
        secondSat,
      })));
    } catch (error) {
      this.#fold.setConserved(false);
      throw new Error(`the simulated world is broken: ${messageOf(error)}`, { cause: error });
    }
    return this.#fold.model(this.#elapsedMs());
  }

  async close(): Promise<void> {
    clearInterval(this.#frames);
    await this.#framing;
    await Promise.all([...this.#instances.keys()].map((operator) => this.#stop(operator)));
    await this.#world.close();
  }

  #elapsedMs(): number {
    return systemClock.now().atMs - this.#startedMs;
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
