import { useEffect, useEffectEvent, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Curve } from "../pages/job/panels";
import { smoothed } from "../pages/job/smoothing";
import { count, figure } from "../words";

/** Colours that differ for the colour-blind, too, on light and dark. */
const COLOURS = ["#2f7de1", "#d9782d", "#2a9d78", "#b75fc0", "#c0504d", "#8a8f2b", "#4aa3b5", "#8d6e63"];
const HEIGHT = 190;

function colourOf(curve: Curve, place: number): string {
  return COLOURS[(curve.colour ?? place) % COLOURS.length] as string;
}

interface PlotProps {
  title: string;
  curves: Curve[];
  smoothing?: number;
  log?: boolean;
  fromZero?: boolean;
  zoom?: [number, number];
  onZoom?: (zoom: [number, number] | undefined) => void;
  xWord?: string;
  format?: (value: number) => string;
}

/** Curves over steps. Dragging zooms; a double click shows all. The crosshair is the same in all plots. */
export function Plot({ title, curves, smoothing = 0, log = false, fromZero = false, zoom, onZoom, xWord = "step", format = figure }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const [at, setAt] = useState<number | null>(null);
  const zoomed = useEffectEvent((range: [number, number] | undefined) => onZoom?.(range));
  const shown = useEffectEvent(format);
  const looks = JSON.stringify(curves.map((curve, place) => ({ label: curve.label, colour: colourOf(curve, place), dashed: curve.dashed ?? false })));
  const isSmooth = smoothing > 0;

  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const made = new uPlot(
      options({ looks: JSON.parse(looks) as Look[], isSmooth, log, fromZero, width: element.clientWidth, onZoom: zoomed, onIndex: setAt, shown }),
      [[]],
      element,
    );
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [looks, isSmooth, log, fromZero]);

  useEffect(() => {
    const made = plot.current;
    if (made === undefined) return;
    made.setData(joined(curves, smoothing, log), false);
    const steps = made.data[0];
    const first = steps[0] ?? 0;
    const last = steps.at(-1) ?? 1;
    const [min, max] = zoom ?? [first, last > first ? last : first + 1];
    made.setScale("x", { min, max });
  }, [curves, smoothing, log, zoom, looks, isSmooth, fromZero]);

  const notFinite = curves.reduce((sum, curve) => sum + curve.notFinite, 0);
  const step = at === null ? undefined : plot.current?.data[0][at];
  return (
    <figure className="plot">
      <figcaption className="line wrap">
        <h3 className="cut">
          <bdi>{title}</bdi>
        </h3>
        {curves.map((curve, place) => (
          <span key={curve.label} className="legend">
            <i style={{ background: colourOf(curve, place), opacity: curve.dashed ? 0.5 : 1 }} />
            <bdi className="quiet">{curve.label}</bdi> {valueAt(curve, step, format)}
          </span>
        ))}
        <span className="grow" />
        {notFinite > 0 && <span className="mark warn">{count(notFinite)} not finite</span>}
        <span className="quiet">{at === null || step === undefined ? "" : `${xWord} ${figure(step)}`}</span>
      </figcaption>
      <div ref={place} role="img" aria-label={`${title}: ${curves.map((one) => `${one.label} ${valueAt(one, undefined, format)}`).join(", ")}`} />
    </figure>
  );
}

/** The value at the step, or the newest before it. */
function valueAt(curve: Curve, step: number | undefined, format: (value: number) => string): string {
  let place = curve.steps.length - 1;
  if (step !== undefined) while (place > 0 && (curve.steps[place] ?? 0) > step) place -= 1;
  const value = curve.values[place];
  return value === null || value === undefined ? "" : format(value);
}

/** One column of steps for all curves. A smoothed line comes behind its raw one. */
function joined(curves: Curve[], smoothing: number, log: boolean): uPlot.AlignedData {
  const tables = curves.map((curve): uPlot.AlignedData => {
    const values = log ? curve.values.map((value) => (value !== null && value > 0 ? value : null)) : curve.values;
    return smoothing > 0 ? [curve.steps, values, smoothed(values, smoothing)] : [curve.steps, values];
  });
  return tables.length === 0 ? [[]] : uPlot.join(tables);
}

interface Look {
  label: string;
  colour: string;
  dashed: boolean;
}

interface Wanted {
  looks: Look[];
  isSmooth: boolean;
  log: boolean;
  fromZero: boolean;
  width: number;
  onZoom: (zoom: [number, number] | undefined) => void;
  onIndex: (index: number | null) => void;
  shown: (value: number) => string;
}

function options({ looks, isSmooth, log, fromZero, width, onZoom, onIndex, shown }: Wanted): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const line = style.getPropertyValue("--line");
  const quiet = style.getPropertyValue("--quiet");
  const axis = { stroke: quiet, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const series: uPlot.Series[] = [{}];
  looks.forEach(({ label, colour: stroke, dashed }) => {
    const common = { label, spanGaps: true, points: { size: 4, fill: stroke }, ...(dashed ? { dash: [5, 3] } : {}) };
    series.push({ ...common, stroke: isSmooth ? `${stroke}55` : stroke, width: isSmooth ? 1 : 1.5 });
    if (isSmooth) series.push({ ...common, stroke, width: 2, points: { show: false } });
  });
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    series,
    scales: { x: { time: false }, y: { distr: log ? 3 : 1, ...(fromZero ? { range: (_: uPlot, __: number, most: number): uPlot.Range.MinMax => [0, 1.1 * most || 1] } : {}) } },
    axes: [
      { ...axis, size: 26 },
      { ...axis, size: 58, values: (_, splits) => splits.map((value) => (value === null ? "" : shown(value))) },
    ],
    cursor: { sync: { key: "steps" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
    hooks: {
      setCursor: [(made) => onIndex(made.cursor.idx ?? null)],
      setSelect: [
        (made) => {
          if (made.select.width < 4) return;
          const [left, right] = [made.posToVal(made.select.left, "x"), made.posToVal(made.select.left + made.select.width, "x")];
          made.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          onZoom([Math.round(left), Math.round(right)]);
        },
      ],
      ready: [(made) => made.over.addEventListener("dblclick", () => onZoom(undefined))],
    },
  };
}
