/** Numbers, times and sizes as people read them. */
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A length of time in at most two units: `4 s`, `3 min 20 s`, `2 h 5 min`, `3 d`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "unknown";
  const whole = Math.max(0, seconds);
  if (whole < 1) return `${Math.round(whole * 1000)} ms`;
  if (whole < 10) return `${whole.toFixed(1)} s`;
  if (whole < MINUTE) return `${Math.floor(whole)} s`;
  if (whole < HOUR) return pair(whole, MINUTE, "min", 1, "s");
  if (whole < DAY) return pair(whole, HOUR, "h", MINUTE, "min");
  return pair(whole, DAY, "d", HOUR, "h");
}

function pair(seconds: number, big: number, bigName: string, small: number, smallName: string): string {
  const first = Math.floor(seconds / big);
  const second = Math.floor((seconds - first * big) / small);
  return second === 0 || first >= 10 ? `${first} ${bigName}` : `${first} ${bigName} ${second} ${smallName}`;
}

/** How long ago, in one unit: `now`, `12 s`, `5 min`, `3 h`, `2 d`. */
export function age(at: number, now: number): string {
  const seconds = Math.max(0, now - at);
  if (seconds < 5) return "now";
  if (seconds < MINUTE) return `${Math.floor(seconds)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h`;
  return `${Math.floor(seconds / DAY)} d`;
}

export function moment(at: number): string {
  return new Date(at * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** A figure in four digits. What is not finite says so. */
export function figure(value: number | string): string {
  const number = typeof value === "number" ? value : numberOf(value);
  if (Number.isNaN(number)) return "NaN";
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "−∞";
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size >= 1e6 || size < 1e-3) return number.toExponential(2).replace("-", "−").replace("e+", "e");
  return number.toPrecision(4).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "").replace("-", "−");
}

/** A number of the API: what JSON cannot hold comes as text. */
export function numberOf(value: number | string): number {
  return typeof value === "number" ? value : Number(value);
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}
