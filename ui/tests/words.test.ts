import { expect, test } from "vitest";
import { age, bytes, duration, figure } from "../src/words";

test.each([
  [0.25, "250 ms"],
  [4, "4.0 s"],
  [200, "3 min 20 s"],
  [7500, "2 h 5 min"],
  [90_000, "1 d 1 h"],
])("%d seconds read as %s", (seconds, text) => expect(duration(seconds)).toBe(text));

test.each([
  [0.8444444, "0.8444"],
  [1, "1"],
  [1234.4, "1234"],
  [0.00001234, "1.23e−5"],
  [-2.5, "−2.5"],
  [12_345_678, "1.23e7"],
  ["NaN", "NaN"],
  ["-Infinity", "−∞"],
])("%s reads as %s", (value, text) => expect(figure(value)).toBe(text));

test("an age has one unit", () => {
  expect([age(100, 101), age(0, 59), age(0, 119), age(0, 7300)]).toEqual(["now", "59 s", "1 min", "2 h"]);
});

test("sizes count in thousands", () => {
  expect([bytes(999), bytes(2_500), bytes(123_456_789)]).toEqual(["999 B", "2.5 kB", "123 MB"]);
});
