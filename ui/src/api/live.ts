import { useEffect, useEffectEvent, useRef, useSyncExternalStore } from "react";
import { follow, type Place } from "./stream";

/** When the connection was lost, in milliseconds since the epoch; null while it is whole. */
let lostAt: number | null = null;
const listeners = new Set<() => void>();

export function setConnected(connected: boolean): void {
  const next = connected ? null : (lostAt ?? Date.now());
  if (next === lostAt) return;
  lostAt = next;
  for (const one of listeners) one();
}

let streams = 0;
let isLostByRequest = false;

/** Whether a request reached the server. A lost stream is whole only once it is open again. */
export function noteAnswer(reached: boolean): void {
  if (!reached) isLostByRequest ||= lostAt === null;
  else if (streams > 0 && !isLostByRequest) return;
  else isLostByRequest = false;
  setConnected(reached);
}

function onChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function lostSince(): number | null {
  return lostAt;
}

export function useLostAt(): number | null {
  return useSyncExternalStore(onChange, lostSince);
}

function onVisibility(listener: () => void): () => void {
  document.addEventListener("visibilitychange", listener);
  return () => document.removeEventListener("visibilitychange", listener);
}

function useVisible(): boolean {
  return useSyncExternalStore(onVisibility, () => document.visibilityState === "visible");
}

/**
 * Follows a stream of the API while the tab is visible. Browsers allow six connections per server over all tabs, so a
 * hidden tab keeps none; it continues behind the last frame.
 */
export function useStream(url: string | null, onFrames: (frames: unknown[]) => void): void {
  const visible = useVisible();
  const deliver = useEffectEvent(onFrames);
  const place = useRef<Place & { url: string | null }>({ url: null, cursor: null });
  useEffect(() => {
    if (url === null || !visible) return undefined;
    if (place.current.url !== url) place.current = { url, cursor: null };
    const ending = new AbortController();
    const listener = {
      onFrames: (frames: unknown[]) => deliver(frames),
      onOpen: () => setConnected(true),
      onLost: () => {
        isLostByRequest = false;
        setConnected(false);
      },
    };
    streams += 1;
    void follow(url, place.current, listener, ending.signal).finally(() => {
      streams -= 1;
    });
    return () => ending.abort();
  }, [url, visible]);
}
