import { TextLineStream } from "./text_lines.ts";
import { installNodePeers } from "./node_install.ts";

/** A Node process that speaks JSON lines: what it prints comes from `next()`, what is sent arrives on its stdin. */
export class NodePeer {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#lines = child.stdout.pipeThrough(new TextLineStream()).getReader();
    this.#input = child.stdin.getWriter();
  }

  /** Runs a script of tests/interop/node among the installed packages. */
  static async start(script: string, args: string[] = []): Promise<NodePeer> {
    const folder = await installNodePeers();
    const source = await Deno.readTextFile(
      new URL(`./node/${script}`, import.meta.url),
    );
    return NodePeer.spawn("node", ["--input-type=commonjs", "--eval", source, "--", ...args], folder);
  }

  /** Runs a script with this Deno instead, which then speaks JSON lines in Node's place. */
  static startDeno(script: URL, flags: string[]): NodePeer {
    return NodePeer.spawn(Deno.execPath(), ["run", ...flags, script.href]);
  }

  /** Runs any program that speaks JSON lines. */
  static spawn(command: string, args: string[], cwd?: string): NodePeer {
    const options = { args, stdin: "piped", stdout: "piped", stderr: "inherit" } as const;
    return new NodePeer(new Deno.Command(command, cwd === undefined ? options : { ...options, cwd }).spawn());
  }

  /** The next line it prints. @throws Error when it ends instead */
  // deno-lint-ignore no-explicit-any -- the tests know what their own scripts print
  async next(): Promise<any> {
    const { value, done } = await this.#lines.read();
    if (done) throw new Error("The Node process has ended");
    return JSON.parse(value);
  }

  async send(message: unknown): Promise<void> {
    await this.#input.write(
      new TextEncoder().encode(JSON.stringify(message) + "\n"),
    );
  }

  /** Ends its input, at which every script stops by itself; resolves with its exit code. */
  async stop(): Promise<number> {
    await this.#input.close().catch(() => {});
    while (!(await this.#lines.read()).done);
    return (await this.#child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
