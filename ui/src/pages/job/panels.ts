import { numberOf } from "../../words";
import type { Series } from "./data";

export interface Curve {
  label: string;
  steps: number[];
  /** Null where the value is not finite. */
  values: (number | null)[];
  notFinite: number;
  /** The place among the colours; none: the place among the curves. */
  colour?: number;
  dashed?: boolean;
}

export interface Panel {
  name: string;
  curves: Curve[];
}

/** The series over seconds since their first point. */
export function overTime(series: Series[]): Series[] {
  const first = Math.min(...series.map((one) => one.times[0] ?? Number.POSITIVE_INFINITY));
  return series.map((one) => ({ ...one, steps: one.times.map((at) => at - first) }));
}

const LEAST_STEPS = 5;

/** The steps around those that were logged at the time: a tenth of all. */
export function stepsAround(series: Series[], at: number): [number, number] | undefined {
  const steps = series.flatMap((one) => one.steps);
  const times = series.flatMap((one) => one.times);
  const places = times.map((time, place) => [Math.abs(time - at), steps[place] ?? 0] as const);
  const nearest = places.reduce<readonly [number, number] | undefined>((best, one) => (best && best[0] <= one[0] ? best : one), undefined);
  if (nearest === undefined) return undefined;
  const last = steps.reduce((most, step) => Math.max(most, step), 0);
  const half = Math.max(LEAST_STEPS, Math.ceil(last / 20));
  return [Math.max(0, nearest[1] - half), Math.min(Math.max(last, nearest[1]), nearest[1] + half)];
}

/** One panel per metric: `train/loss` and `validation/loss` are drawn together as `loss`. */
export function panelsOf(series: Series[], prefix = ""): Panel[] {
  const ranks = new Set(series.map((one) => `${one.name} ${one.rank}`)).size !== new Set(series.map((one) => one.name)).size;
  const panels = new Map<string, Curve[]>();
  for (const one of series) {
    const cut = one.name.indexOf("/");
    const name = cut < 0 ? one.name : one.name.slice(cut + 1);
    const part = cut < 0 ? one.name : one.name.slice(0, cut);
    const label = prefix + (ranks ? `${part}, rank ${one.rank}` : part);
    const numbers = one.values.map(numberOf);
    const values = numbers.map((value) => (Number.isFinite(value) ? value : null));
    const notFinite = values.filter((value) => value === null).length;
    panels.set(name, [...(panels.get(name) ?? []), { label, steps: one.steps, values, notFinite }]);
  }
  const order = ["loss", "accuracy", "f1"];
  const place = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length);
  return [...panels]
    .map(([name, curves]) => ({ name, curves }))
    .sort((one, other) => place(one.name) - place(other.name) || one.name.localeCompare(other.name));
}
