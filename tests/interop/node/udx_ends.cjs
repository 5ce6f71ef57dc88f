// The udx-native ends of the conformance tests: commands as JSON lines on stdin, answers as JSON lines on stdout.
const readline = require("node:readline");
const UDX = require("udx-native");
const binding = require("udx-native/binding");

// Bytes from a field that the binding names to one that libudx's own tests set, as they do.
const FIELDS = {
  rto: binding.offsetof_udx_stream_t_srtt + 8,
  receiveWindow: binding.offsetof_udx_stream_t_cwnd + 8,
};

function poke(stream, field, value) {
  const before = stream._view[FIELDS[field] >> 2];
  stream._view[FIELDS[field] >> 2] = value;
  return before;
}

const drivers = new Map();

async function answer({ end, seq, ...command }) {
  const reply = await import(process.argv[1]).then(({ Driver }) => {
    if (!drivers.has(end)) drivers.set(end, new Driver(new UDX(), poke));
    const driver = drivers.get(end);
    if (command.op === "clear") drivers.delete(end);
    return driver.run(command);
  }).then(
    (value) => ({ seq, value }),
    (error) => ({ seq, error: { message: error.message, code: error.code ?? null } }),
  );
  process.stdout.write(JSON.stringify(reply) + "\n");
}

readline.createInterface({ input: process.stdin })
  .on("line", (line) => void answer(JSON.parse(line)))
  .on("close", () => process.exit());
