/** Whether the server knows who this browser is. A cookie that scripts cannot read says so with each request. */
const listeners = new Set<() => void>();
let refused = false;

/** The server answered 401: no one is logged in here. */
export function setRefused(value: boolean): void {
  refused = value;
  for (const one of listeners) one();
}

export function isRefused(): boolean {
  return refused;
}

export function onSessionChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
