/** Makes the names in a folder durable. */
export function syncFolder(folder: string): void {
  // Windows opens no folders as files, and its file system logs changes of names itself.
  if (Deno.build.os === "windows") return;
  using file = Deno.openSync(folder, { read: true });
  file.syncSync();
}
