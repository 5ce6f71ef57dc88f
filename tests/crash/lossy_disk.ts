/** What a machine loses of a file system of its own when its power fails. Only root of a Linux with ext4 and perl can have one. */
export class LossyDisk implements Disposable {
  readonly #folder: string;
  readonly #image: string;

  /** @param folder an empty one, or none yet */
  constructor(folder: string) {
    this.#folder = folder;
    this.#image = `${folder}.image`;
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    using image = Deno.openSync(this.#image, { write: true, create: true });
    image.truncateSync(imageBytes);
    run("mkfs.ext4", "-q", this.#image);
    this.#mount();
    Deno.removeSync(`${folder}/lost+found`);
  }

  /** From here on nothing reaches the disk, and whatever the journal holds only in memory is lost. */
  cut(): void {
    run("perl", "-e", shutDown, this.#folder);
  }

  /** The machine is up again. Nothing may be open. */
  restart(): void {
    run("umount", this.#folder);
    this.#mount();
  }

  #mount(): void {
    run("mount", "-o", "loop", this.#image, this.#folder);
  }

  [Symbol.dispose](): void {
    run("umount", "-l", this.#folder);
    Deno.removeSync(this.#image);
  }
}

const imageBytes = 16 * 1024 * 1024;

/** EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH. */
const shutDown = 'open(my $folder, "<", $ARGV[0]) or die $!; my $flags = pack("L", 2); ' +
  "ioctl($folder, 0x8004587d, $flags) or die $!;";

function run(command: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(command, { args, stdin: "null", stdout: "null" }).outputSync();
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}
