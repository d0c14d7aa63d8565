import type { Schemas } from "../../api/client";

type Report = Schemas["ReportFrame"];

const FIRST_ROOM = 4_096;

/**
 * The lines of a log, compact: a million take little more than their texts. A line without an end is replaced by the
 * next line of its rank, as on a terminal.
 */
export class LogStore {
  private texts: string[] = [];
  private ranks = new Int32Array(FIRST_ROOM);
  private attempts = new Int32Array(FIRST_ROOM);
  private times = new Float64Array(FIRST_ROOM);
  private open = new Map<string, number>();
  readonly seenRanks = new Set<number>();

  get length(): number {
    return this.texts.length;
  }

  text(index: number): string {
    return this.texts[index] ?? "";
  }

  rank(index: number): number {
    return this.ranks[index] ?? -1;
  }

  attempt(index: number): number {
    return this.attempts[index] ?? 0;
  }

  at(index: number): number {
    return this.times[index] ?? 0;
  }

  add({ attempt, worker, lines }: Pick<Report, "attempt" | "worker" | "lines">): void {
    for (const line of lines) {
      const source = `${attempt} ${worker} ${line.rank}`;
      const index = this.open.get(source) ?? this.length;
      if (line.partial) this.open.set(source, index);
      else this.open.delete(source);
      this.room(index);
      this.texts[index] = drawn(line.text);
      this.ranks[index] = line.rank;
      this.attempts[index] = attempt;
      this.times[index] = line.at;
      this.seenRanks.add(line.rank);
    }
  }

  /** The first line printed at the time or later. */
  firstAt(at: number): number | undefined {
    const place = this.times.subarray(0, this.length).findIndex((time) => time >= at);
    return place < 0 ? undefined : place;
  }

  /** The lines of the rank that have the text, by their places; null: all lines. */
  matching(rank: number | undefined, find: string): number[] | null {
    if (rank === undefined && find === "") return null;
    const wanted = find.toLowerCase();
    const found: number[] = [];
    for (let index = 0; index < this.length; index += 1) {
      if (rank !== undefined && this.ranks[index] !== rank) continue;
      if (wanted === "" || this.text(index).toLowerCase().includes(wanted)) found.push(index);
    }
    return found;
  }

  private room(index: number): void {
    if (index < this.ranks.length) return;
    this.ranks = grown(this.ranks, new Int32Array(2 * this.ranks.length));
    this.attempts = grown(this.attempts, new Int32Array(2 * this.attempts.length));
    this.times = grown(this.times, new Float64Array(2 * this.times.length));
  }
}

function grown<Numbers extends Int32Array | Float64Array>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}

/** What a terminal shows of a line with carriage returns: what was drawn last. */
export function drawn(text: string): string {
  if (!text.includes("\r")) return text;
  return text.split("\r").findLast((part) => part !== "") ?? "";
}
