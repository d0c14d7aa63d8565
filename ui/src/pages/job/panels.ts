import { numberOf } from "../../words";
import type { Series } from "./data";

export interface Curve {
  label: string;
  steps: number[];
  /** Null where the value is not finite. */
  values: (number | null)[];
  notFinite: number;
}

export interface Panel {
  name: string;
  curves: Curve[];
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
