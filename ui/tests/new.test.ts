import { expect, test } from "vitest";
import { differences } from "../src/pages/compare/differences";
import { checked, propertyOf } from "../src/pages/new/parameter";
import { askedOf, commandOf, withoutDefaults, yamlOf } from "../src/pages/new/spec";

test.each([
  ["", undefined],
  ["3", 3],
  ["3.5", { wrong: "Must be a whole number." }],
  ["0", { wrong: "Must be at least 1." }],
  ["many", { wrong: "Must be a number." }],
])("a whole number from 1: %j", (text, outcome) => {
  expect(checked(text, { type: "integer", minimum: 1 })).toEqual(outcome);
});

test("a parameter that may be null keeps its limits and its help", () => {
  const given = { anyOf: [{ type: "integer", minimum: 1 }, { type: "null" }], default: null, description: "Help." };
  expect(propertyOf(given)).toEqual({ type: "integer", minimum: 1, default: null, description: "Help." });
});

test("a spec, its job file and its command say the same", () => {
  const asked = { trainer: "cnn", dataset: "mnist", world_size: 2, name: "a b", parameters: { epochs: 2, seed: 1 } };
  expect(askedOf(yamlOf(asked))).toEqual(asked);
  expect(commandOf(asked)).toBe("headway train cnn --dataset mnist --name 'a b' --epochs 2 --world-size 2 --set seed=1");
  expect(askedOf("- a\n- b")).toContain("mapping");
});

test("a stored spec is shown without what every job has", () => {
  const spec = { trainer: "cnn", script: null, arguments: [], env: {}, retries: 3, priority: 1, checkpoints: { every_seconds: 60, metric: null } };
  expect(withoutDefaults(spec)).toEqual({ trainer: "cnn", priority: 1 });
});

test("only what differs is compared", () => {
  const specs = [
    { name: "one", trainer: "cnn", parameters: { seed: 0, epochs: 2 } },
    { name: "two", trainer: "cnn", parameters: { seed: 1, epochs: 2 } },
  ];
  expect(differences(specs)).toEqual([{ name: "seed", values: ["0", "1"] }]);
});
