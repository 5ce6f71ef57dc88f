/** What a terminal has that nobody has made wider. */
export const mostColumns = 80;

/** A line that is too wide goes on below, behind `indent`. */
export function wrap(line: string, indent = `${/^ */.exec(line)![0]}    `): string[] {
  if ([...line].length <= mostColumns) return [line];
  const lines: string[] = [];
  let last = /^ */.exec(line)![0];
  for (let word of line.trim().split(/ +/)) {
    const isEmpty = last.trim() === "";
    if (!isEmpty && [...last].length + 1 + [...word].length > mostColumns) {
      lines.push(last);
      last = indent;
    } else if (!isEmpty) {
      last += " ";
    }
    for (let room = mostColumns - [...last].length; [...word].length > room; room = mostColumns - [...last].length) {
      lines.push(last + [...word].slice(0, room).join(""));
      word = [...word].slice(room).join("");
      last = indent;
    }
    last += word;
  }
  return [...lines, last];
}
