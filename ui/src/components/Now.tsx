import { useEffect, useState } from "react";
import { age, moment } from "../words";

/** The time in seconds since the epoch, renewed at intervals while it is shown. */
export function useNow(everySeconds: number): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), everySeconds * 1000);
    return () => clearInterval(timer);
  }, [everySeconds]);
  return now;
}

/** How long ago something was; the exact time on hover. */
export function Age({ at }: { at: number }) {
  const now = useNow(5);
  return <span title={moment(at)}>{age(at, now)}</span>;
}
