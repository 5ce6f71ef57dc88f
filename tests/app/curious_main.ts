/**
 * The program, with somebody in its main thread who at SIGUSR2 tries what main has no business with and prints what came
 * of it: a JSON object on stdout.
 */
const { file, port } = Object.fromEntries(new URL(import.meta.url).searchParams);

const attempts: Record<string, () => unknown> = {
  read: () => Deno.readTextFile(file!),
  write: () => Deno.writeTextFile(`${file!}.new`, ""),
  connect: () => Deno.connect({ hostname: "127.0.0.1", port: Number(port) }),
  listen: () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  interfaces: () => Deno.networkInterfaces(),
  run: () => new Deno.Command("/bin/true").output(),
  worker: () =>
    new Worker(URL.createObjectURL(new Blob([""])), { type: "module", deno: { permissions: { net: true } } }),
};

Deno.addSignalListener("SIGUSR2", async () => {
  const outcome: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      await attempt();
      outcome[name] = "done";
    } catch (error) {
      outcome[name] = (error as Error).name;
    }
  }
  console.log(JSON.stringify(outcome));
});
await import("../../main.ts");
