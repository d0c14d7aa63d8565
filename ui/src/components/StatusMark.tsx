import type { Schemas } from "../api/client";

export type JobStatus = Schemas["JobStatus"];
type Tone = "good" | "bad" | "warn" | "going" | "off";

const SHAPES = {
  ring: <circle cx="8" cy="8" r="6" />,
  half: <path d="M8 2a6 6 0 1 0 0 12M8 2a6 6 0 0 1 0 12" strokeDasharray="4 3" />,
  play: <path d="M4 2.5v11l9-5.5z" fill="currentColor" />,
  check: <path d="M2.5 8.5 6.5 12.5 13.5 4" />,
  cross: <path d="M3.5 3.5l9 9M12.5 3.5l-9 9" />,
  bar: <path d="M3 8h10" />,
  pause: <path d="M5 3v10M11 3v10" />,
};

const MARKS: Record<JobStatus | "paused", { word: string; tone: Tone; shape: keyof typeof SHAPES }> = {
  queued: { word: "waiting", tone: "off", shape: "ring" },
  paused: { word: "paused", tone: "warn", shape: "pause" },
  starting: { word: "starting", tone: "going", shape: "half" },
  running: { word: "running", tone: "going", shape: "play" },
  stopping: { word: "stopping", tone: "warn", shape: "half" },
  succeeded: { word: "succeeded", tone: "good", shape: "check" },
  failed: { word: "failed", tone: "bad", shape: "cross" },
  cancelled: { word: "cancelled", tone: "off", shape: "bar" },
};

/** A job's status as shape, word and colour. */
export function StatusMark({ status, hold }: { status: JobStatus; hold: boolean }) {
  const { word, tone, shape } = MARKS[hold && status === "queued" ? "paused" : status];
  return <Mark word={word} tone={tone} shape={shape} />;
}

export function Mark({ word, tone, shape }: { word: string; tone: Tone; shape: keyof typeof SHAPES }) {
  return (
    <span className={`mark ${tone}`}>
      <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" aria-hidden="true">
        {SHAPES[shape]}
      </svg>
      {word}
    </span>
  );
}

export function wordOf(status: JobStatus): string {
  return MARKS[status].word;
}

export function isOver(status: JobStatus): boolean {
  return status === "succeeded" || status === "failed" || status === "cancelled";
}
