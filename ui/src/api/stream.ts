import { Problem } from "./problem";
import { authorization, setRefused } from "./session";

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

/**
 * Reads a stream until the signal ends it, and continues behind the last frame after every loss. It ends by itself
 * when the server ends it, or refuses it.
 */
export async function follow(url: string, listener: Listener, signal: AbortSignal): Promise<void> {
  let cursor: string | null = null;
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    try {
      const ended = await readOnce(url, cursor, listener, signal, (id) => {
        cursor = id;
        wait = FIRST_WAIT_MS;
      });
      if (ended) return;
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && error.status < 500)) return;
    }
    if (signal.aborted) return;
    listener.onLost();
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

async function readOnce(
  url: string,
  cursor: string | null,
  listener: Listener,
  signal: AbortSignal,
  onCursor: (id: string) => void,
): Promise<boolean> {
  const headers = { ...authorization(), Accept: "text/event-stream", ...(cursor ? { "Last-Event-ID": cursor } : {}) };
  const response = await fetch(url, { headers, signal, credentials: "same-origin", cache: "no-store" });
  if (response.status === 401) setRefused(true);
  if (!response.ok || response.body === null) throw await Problem.of(response);
  listener.onOpen();
  const reader = new FrameReader();
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await text.read();
    if (done) return false;
    const frames = reader.read(value);
    const last = frames.findLast((frame) => frame.id !== null);
    if (last?.id) onCursor(last.id);
    if (frames.length > 0) listener.onFrames(frames.map((frame) => frame.data));
    if (frames.some((frame) => (frame.data as { kind?: string }).kind === "end")) return true;
  }
}
