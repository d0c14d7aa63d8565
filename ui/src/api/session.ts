/** Who this browser is. Mostly a cookie that scripts cannot read; else a token that lives as long as the tab. */
const KEY = "headway.token";
const listeners = new Set<() => void>();
let refused = false;

export function pastedToken(): string | null {
  return sessionStorage.getItem(KEY);
}

export function keepToken(token: string | null): void {
  if (token === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
  setRefused(false);
}

/** The server answered 401: nobody is logged in here. */
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

export function authorization(): Record<string, string> {
  const token = pastedToken();
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}
