export interface Piece {
  text: string;
  /** The names of the classes that style it. */
  style: string;
}

// biome-ignore lint: control characters are the subject here
const SEQUENCE = /\u001b(?:\[([0-9;:]*)([A-Za-z])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** A line in pieces of one style each. Sequences that are no style are left out; the text itself is never markup. */
export function ansi(line: string): Piece[] {
  if (!line.includes("\u001b")) return [{ text: line, style: "" }];
  const pieces: Piece[] = [];
  const style = new Map<string, string>();
  let from = 0;
  function add(text: string): void {
    if (text !== "") pieces.push({ text, style: [...style.values()].join(" ") });
  }
  for (const found of line.matchAll(SEQUENCE)) {
    add(line.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[2] === "m") change(style, (found[1] ?? "").split(/[;:]/).map(Number));
  }
  add(line.slice(from));
  return pieces;
}

function change(style: Map<string, string>, codes: number[]): void {
  for (let place = 0; place < codes.length; place += 1) {
    const code = codes[place] ?? 0;
    if (code === 0) style.clear();
    else if (code === 1) style.set("weight", "ansi-bold");
    else if (code === 2) style.set("weight", "ansi-dim");
    else if (code === 22) style.delete("weight");
    else if (code === 38 || code === 48) place += codes[place + 1] === 5 ? 2 : 4;
    else if (code === 39) style.delete("colour");
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) style.set("colour", `ansi-${COLOURS[code % 10]}`);
  }
}
