import { parse, stringify } from "yaml";

/** A job's spec as people write it: only what differs from the defaults. */
export type Asked = Record<string, unknown>;

/** The spec without empty fields and without what every job has by default. */
export function withoutDefaults(spec: Record<string, unknown>): Asked {
  const defaults: Record<string, unknown> = { priority: 0, retries: 3, retry_window_seconds: 86_400 };
  return Object.fromEntries(
    Object.entries(spec).flatMap(([name, value]) => {
      const slim = slimmed(name, value);
      return slim === undefined || slim === defaults[name] ? [] : [[name, slim]];
    }),
  );
}

const DEFAULT_CHECKPOINTS: Record<string, unknown> = { every_seconds: 60, epoch_end: true, keep_newest: 3, keep_best: 0, mode: "min" };

function slimmed(name: string, value: unknown): unknown {
  if (value === null || value === undefined || value === "") return undefined;
  if (Array.isArray(value)) return value.length === 0 ? undefined : value;
  if (typeof value !== "object") return value;
  const kept = Object.entries(value).filter(
    ([key, one]) => one !== null && !(name === "checkpoints" && one === DEFAULT_CHECKPOINTS[key]),
  );
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

export function yamlOf(asked: Asked): string {
  return stringify(asked);
}

/** The spec of a text; a sentence if it has none. */
export function askedOf(text: string): Asked | string {
  try {
    const value: unknown = parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Asked;
    return "A job file is a mapping: `trainer: cnn`, one field a line.";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The command that submits the same job, for a trainer. */
export function commandOf(asked: Asked): string {
  const { trainer, dataset, name, world_size: ranks, parameters = {}, from_checkpoint: from } = asked;
  const { epochs, ...settings } = parameters as Record<string, unknown>;
  const words = ["headway", "train", trainer];
  if (dataset !== undefined) words.push("--dataset", dataset);
  if (name !== undefined) words.push("--name", name);
  if (epochs !== undefined) words.push("--epochs", epochs);
  if (ranks !== undefined && ranks !== 1) words.push("--world-size", ranks);
  if (from !== undefined) words.push("--from-checkpoint", from);
  for (const [key, value] of Object.entries(settings)) words.push("--set", `${key}=${String(value)}`);
  return words.map((word) => quoted(String(word))).join(" ");
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
