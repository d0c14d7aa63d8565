import { Problem } from "./problem";
import { setRefused } from "./session";

export interface Frame {
  id: string | null;
  data: unknown;
}

/** Cuts the text of server-sent events into frames, however it arrives in pieces. */
export class FrameReader {
  private rest = "";

  read(text: string): Frame[] {
    const blocks = (this.rest + text).split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.map(frameOf).filter((frame) => frame !== null);
  }
}

function frameOf(block: string): Frame | null {
  let id: string | null = null;
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("id:")) id = line.slice(3).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  return data.length === 0 ? null : { id, data: JSON.parse(data.join("\n")) };
}

export interface Listener {
  onFrames(frames: unknown[]): void;
  onOpen(): void;
  onLost(): void;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;
/** The server says every 15 s that it is still there. A stream that is silent for longer is dead, whatever TCP thinks. */
const SILENCE_MS = 40_000;

/** Up to which frame a stream was read. */
export interface Place {
  cursor: string | null;
}

/**
 * Reads a stream until the signal ends it, and continues behind the last frame after every loss. It ends by itself
 * when the server ends it, or refuses it.
 */
export async function follow(url: string, place: Place, listener: Listener, signal: AbortSignal): Promise<void> {
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    const before = place.cursor;
    try {
      if (await readOnce(url, place, listener, signal)) return;
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && error.status < 500)) return;
    }
    if (signal.aborted) return;
    listener.onLost();
    wait = place.cursor === before ? Math.min(2 * wait, LONGEST_WAIT_MS) : FIRST_WAIT_MS;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Whether the stream has ended for good. */
async function readOnce(url: string, place: Place, listener: Listener, signal: AbortSignal): Promise<boolean> {
  const behind: Record<string, string> = place.cursor === null ? {} : { "Last-Event-ID": place.cursor };
  const headers = { ...behind, Accept: "text/event-stream" };
  const own = new AbortController();
  const either = AbortSignal.any([signal, own.signal]);
  const response = await fetch(url, { headers, signal: either, credentials: "same-origin", cache: "no-store" });
  if (response.status === 401) setRefused(true);
  if (!response.ok || response.body === null) throw await Problem.of(response);
  listener.onOpen();
  const reader = new FrameReader();
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await within(SILENCE_MS, text.read()).catch((error: unknown) => {
      own.abort(); // so that the browser gives the connection back
      throw error;
    });
    if (done || signal.aborted) return false;
    const frames = reader.read(value);
    if (frames.length === 0) continue;
    listener.onFrames(frames.map((frame) => frame.data));
    place.cursor = frames.findLast((frame) => frame.id !== null)?.id ?? place.cursor;
    if (frames.some((frame) => (frame.data as { kind?: string }).kind === "end")) return true;
  }
}

/** What is promised, or an error if it takes longer. */
async function within<T>(limitMs: number, promised: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("The stream is silent.")), limitMs);
  });
  try {
    return await Promise.race([promised, late]);
  } finally {
    clearTimeout(timer);
  }
}
