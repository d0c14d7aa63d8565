import { useEffect, useEffectEvent, useSyncExternalStore } from "react";
import { follow } from "./stream";

/** When the connection was lost, in milliseconds since the epoch; null while it is whole. */
let lostAt: number | null = null;
const listeners = new Set<() => void>();

export function setConnected(connected: boolean): void {
  const next = connected ? null : (lostAt ?? Date.now());
  if (next === lostAt) return;
  lostAt = next;
  for (const one of listeners) one();
}

function onChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useLostAt(): number | null {
  return useSyncExternalStore(onChange, () => lostAt);
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
 * hidden tab keeps none.
 */
export function useStream(url: string | null, onFrames: (frames: unknown[]) => void): void {
  const visible = useVisible();
  const deliver = useEffectEvent(onFrames);
  useEffect(() => {
    if (url === null || !visible) return undefined;
    const ending = new AbortController();
    const listener = {
      onFrames: (frames: unknown[]) => deliver(frames),
      onOpen: () => setConnected(true),
      onLost: () => setConnected(false),
    };
    void follow(url, listener, ending.signal);
    return () => ending.abort();
  }, [url, visible]);
}
