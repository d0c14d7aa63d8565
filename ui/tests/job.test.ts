import { describe, expect, test } from "vitest";
import { ansi } from "../src/pages/job/ansi";
import { LogStore } from "../src/pages/job/LogStore";
import { overTime, panelsOf, stepsAround } from "../src/pages/job/panels";
import { smoothed } from "../src/pages/job/smoothing";
import { checkJobSearch } from "../src/pages/job/search";

describe("smoothing", () => {
  const values = Array.from({ length: 200 }, (_, step) => Math.sin(step / 7) + step / 50);

  test("new points do not change what was drawn", () => {
    const before = smoothed(values.slice(0, 120), 0.9);
    expect(smoothed(values, 0.9).slice(0, 120)).toEqual(before);
  });

  test("a point that is not finite makes a gap and spoils no other", () => {
    expect(smoothed([1, null, Number.NaN, 1], 0.5)).toEqual([1, null, null, 1]);
  });

  test("without smoothing the line is the raw one", () => {
    expect(smoothed(values, 0)).toEqual(values);
  });
});

describe("the log", () => {
  const line = (text: string, rank = 0, partial = false) => ({ rank, at: 0, text, partial, repeated: false });
  const report = (...lines: ReturnType<typeof line>[]) => ({ attempt: 1, worker: "w-1", lines });

  test("a bar is drawn over by the next line of its rank alone", () => {
    const store = new LogStore();
    store.add(report(line("10 %", 0, true), line("hello", 1)));
    store.add(report(line("20 %", 0, true)));
    store.add(report(line("done", 0), line("next", 0)));
    expect([0, 1, 2].map((index) => store.text(index))).toEqual(["done", "hello", "next"]);
    expect(store.length).toBe(3);
  });

  test("a time leads to the first line printed then or later", () => {
    const store = new LogStore();
    store.add(report({ ...line("early"), at: 10 }, { ...line("late"), at: 20 }));
    expect([5, 10, 15, 21].map((at) => store.firstAt(at))).toEqual([0, 0, 1, undefined]);
  });

  test("a carriage return shows what was drawn last", () => {
    const store = new LogStore();
    store.add(report(line("1/3\r2/3\r3/3"), line("over\r")));
    expect([store.text(0), store.text(1)]).toEqual(["3/3", "over"]);
  });

  test("lines are found by rank and text among many", () => {
    const store = new LogStore();
    store.add(report(...Array.from({ length: 20_000 }, (_, index) => line(`Step ${index}`, index % 4))));
    expect(store.matching(undefined, "")).toBeNull();
    expect(store.matching(3, "step 19999")).toEqual([19_999]);
    expect(store.matching(2, "step 19999")).toEqual([]);
  });
});

describe("ANSI sequences", () => {
  test("colours become names of classes, and other sequences vanish", () => {
    expect(ansi("\u001b[1;31mbad\u001b[0m \u001b[2Kplain\u001b]0;title\u0007!")).toEqual([
      { text: "bad", style: "ansi-bold ansi-red" },
      { text: " ", style: "" },
      { text: "plain", style: "" },
      { text: "!", style: "" },
    ]);
  });

  test("markup stays text", () => {
    expect(ansi("<img src=x onerror=alert(1)>")).toEqual([{ text: "<img src=x onerror=alert(1)>", style: "" }]);
  });
});

test("train and validation share a panel, and what is not finite is counted", () => {
  const series = (name: string, values: (number | "NaN" | "Infinity")[]) => ({
    name, rank: 0, count: 2, thinned: false, steps: [1, 2], times: [0, 0], values,
  });
  const panels = panelsOf([series("validation/loss", [1, 2]), series("train/loss", ["NaN", "Infinity"]), series("x", [1, 1])]);
  expect(panels.map((panel) => [panel.name, panel.curves.map((curve) => curve.label)])).toEqual([
    ["loss", ["validation", "train"]],
    ["x", ["x"]],
  ]);
  expect(panels[0]?.curves[1]).toMatchObject({ values: [null, null], notFinite: 2 });
});

test("an address of a job keeps what makes sense", () => {
  const given = { tab: "log", smoothing: 7, zoom: [3, 9], rank: -1, find: 12, line: "x", log: "yes" };
  expect(checkJobSearch(given)).toEqual({ tab: "log", zoom: [3, 9], rank: -1, find: "12" });
});

describe("a time on the line of attempts", () => {
  const steps = Array.from({ length: 1_001 }, (_, step) => step);
  const series = { name: "loss", rank: 0, count: steps.length, thinned: false, steps, times: steps.map((step) => 100 + step / 10), values: steps };

  test("leads to the steps logged then, also at both ends", () => {
    expect([150, 0, 900].map((at) => stepsAround([series], at))).toEqual([[450, 550], [0, 50], [950, 1_000]]);
    expect(stepsAround([], 150)).toBeUndefined();
  });

  test("becomes seconds since the first point", () => {
    expect(overTime([series])[0]?.steps.slice(0, 2).map((second) => second.toFixed(1))).toEqual(["0.0", "0.1"]);
  });
});
