import { TextLineStream } from "../interop/text_lines.ts";

/** The checkout: where a user runs `deno task start`. */
export const root = new URL("../../", import.meta.url);

/** An object of the program's JSON output. */
export type Line = Readonly<Record<string, unknown>>;

/** Longer than anything takes that works, on a busy machine too; then the test fails and shows what was said. */
export const patienceMs = 60_000;

/** What `deno task start` runs, with whatever rights that grants. */
export function startArgs(): readonly string[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", root)));
  const [command, ...args] = (tasks.start.command as string).split(" ");
  if (command !== "deno" || args.pop() !== "main.ts") throw new Error("the task start doesn't run main.ts");
  return args;
}

export interface Output {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Tightrope itself in a process of its own, with an empty environment. */
export class Program implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #ended: Promise<Output>;
  readonly #reading: Promise<unknown>;
  #isRunning = true;
  readonly #events: Line[] = [];
  #linesParsed = 0;
  /** Each line of stderr and stdout as it came. */
  readonly stderr: string[] = [];
  readonly stdout: string[] = [];
  #waiting: (() => void)[] = [];

  /** @param entry what runs in place of main.ts, with the same rights */
  constructor(args: readonly string[], entry = "main.ts") {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [...startArgs(), entry, ...args],
      cwd: root,
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const reading = Promise.all([
      this.#read(this.#child.stderr, this.stderr),
      this.#read(this.#child.stdout, this.stdout),
    ]);
    this.#reading = reading;
    this.#ended = this.#child.status.then(async ({ code, signal }) => {
      await reading;
      this.#isRunning = false;
      this.#wake();
      return { code, signal, stdout: this.stdout.join("\n"), stderr: this.stderr.join("\n") };
    });
  }

  /** The events so far: the lines of stderr under `--logformat json`. */
  get events(): readonly Line[] {
    for (const line of this.stderr.slice(this.#linesParsed)) {
      if (line.startsWith("{")) this.#events.push(JSON.parse(line));
    }
    this.#linesParsed = this.stderr.length;
    return this.#events;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** How it ended; it is waited for, whatever it takes within reason. */
  async ended(): Promise<Output> {
    await this.#until(() => !this.#isRunning || undefined, "its end");
    return await this.#ended;
  }

  /** The first event from `skip` on that the pattern fits. */
  async event(pattern: Partial<Record<string, unknown>> | RegExp, skip = 0): Promise<Line> {
    return await this.#until(
      () => this.events.slice(skip).find((event) => fits(event, pattern)),
      pattern instanceof RegExp ? String(pattern) : JSON.stringify(pattern),
    );
  }

  /** As many objects on stdout (`log --json`) that the pattern fits. */
  async printed(pattern: Partial<Record<string, unknown>>, count = 1): Promise<Line[]> {
    return await this.#until(() => {
      const found = this.stdout.map((line) => JSON.parse(line) as Line).filter((line) => fits(line, pattern));
      return found.length >= count ? found : undefined;
    }, `${count} of ${JSON.stringify(pattern)}`);
  }

  kill(signal: Deno.Signal): void {
    if (!this.#isRunning) return;
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It has ended by itself just now.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** SIGTERM, and its end. */
  async stop(): Promise<Output> {
    this.kill("SIGTERM");
    return await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.#ended;
    await this.#reading;
  }

  async #read(bytes: ReadableStream<Uint8Array>, into: string[]): Promise<void> {
    for await (const line of bytes.pipeThrough(new TextLineStream())) {
      into.push(line);
      this.#wake();
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  async #until<T>(find: () => T | undefined, what: string): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let late = false;
    try {
      for (let found = find();; found = find()) {
        if (found !== undefined) return found;
        if (late || !this.#isRunning) {
          const why = late ? `in ${patienceMs} ms` : "before the program ended";
          throw new Error(`${what} did not come ${why}. It said:\n${[...this.stderr, ...this.stdout].join("\n")}`);
        }
        await new Promise<void>((resolve) => {
          this.#waiting.push(resolve);
          timer ??= setTimeout(() => {
            late = true;
            this.#wake();
          }, patienceMs);
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Runs a command of the program to its end. */
export async function runProgram(...args: readonly string[]): Promise<Output> {
  await using program = new Program(args);
  return await program.ended();
}

function fits(line: Line, pattern: Partial<Record<string, unknown>> | RegExp): boolean {
  if (pattern instanceof RegExp) return pattern.test(String(line.message));
  return Object.entries(pattern).every(([name, value]) =>
    value instanceof RegExp ? value.test(String(line[name])) : line[name] === value
  );
}
