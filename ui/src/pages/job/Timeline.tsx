import { useMutation } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import type { MouseEvent } from "react";
import { api, data } from "../../api/client";
import { Failed } from "../../components/States";
import { useNow } from "../../components/Now";
import { isOver } from "../../components/StatusMark";
import { useProject } from "../../ProjectChoice";
import { duration, moment, plural } from "../../words";
import type { Attempt, Job } from "./data";
import { stepsAround } from "./panels";

const route = getRouteApi("/jobs/$job");
const POINTS = 500;
/** Ends that are no failures: someone wanted them. */
const UNHARMED: Attempt["reason"][] = ["cancelled", "paused", "worker_stopped", "drained"];

/** The attempts of a job on one line of time, with their checkpoints and ends. */
export function Timeline({ job, attempts }: { job: Job; attempts: Attempt[] }) {
  const now = useNow(2);
  const project = useProject();
  const navigate = route.useNavigate();
  /** Moves the charts and the log to the time. */
  const look = useMutation({
    mutationFn: async (at: number) => {
      const params = { path: { job: job.id }, query: { project, points: POINTS } };
      const { series } = await data(api.GET("/api/v1/jobs/{job}/metrics", { params }));
      const zoom = stepsAround(series, at);
      await navigate({ search: (before) => ({ ...before, at: Math.round(at * 1000) / 1000, line: undefined, zoom }) });
    },
  });
  if (attempts.length === 0) return null;
  const from = job.created_at;
  const to = isOver(job.status) ? (job.ended_at ?? now) : now;
  const share = (at: number) => `${(100 * Math.min(1, Math.max(0, (at - from) / Math.max(to - from, 0.001)))).toFixed(2)}%`;
  const width = (start: number, end: number) => `calc(${share(end)} - ${share(start)})`;
  const newest = attempts.at(-1);
  const ended = attempts.findLast((one) => one.decision);
  const saved = job.checkpoints.filter((one) => one.complete && one.at !== null);
  const onClick = (event: MouseEvent<HTMLDivElement>) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    if (event.detail > 0) look.mutate(from + ((event.clientX - left) / width) * (to - from));
  };
  return (
    <section aria-label="Attempts">
      <div className="timeline" onClick={onClick} title="Click to move the charts and the log to this time">
        {attempts.map((attempt) => {
          const end = attempt.ended_at ?? to;
          return (
            <button
              type="button"
              key={attempt.number}
              aria-label={`Attempt ${attempt.number}: move the charts and the log to its start`}
              onClick={(event) => event.detail === 0 && look.mutate(attempt.started_at ?? attempt.placed_at)}
              className={`span ${toneOf(attempt)}`}
              style={{ left: share(attempt.placed_at), width: width(attempt.placed_at, end) }}
              title={describe(attempt, end)}
            >
              {attempt.number}
            </button>
          );
        })}
        {saved.map((one) => (
          <i key={`${one.attempt}-${one.step}`} style={{ left: share(one.at ?? from) }} title={`Checkpoint of step ${one.step}, ${moment(one.at ?? 0)}`} />
        ))}
      </div>
      {look.error && <Failed error={look.error} />}
      <div className="line wrap quiet">
        <span>
          {plural(attempts.length, "attempt")}, {plural(saved.length, "checkpoint")} kept
        </span>
        {newest && (
          <span>
            Attempt {newest.number}:{" "}
            {newest.assignments.map((one) => `${plural(one.rank_count, "rank")} on ${one.worker_name}`).join(", ")}
          </span>
        )}
        {ended && (
          <span className="grow">
            Attempt {ended.number} ended: {ended.reason?.replaceAll("_", " ")}. {ended.decision}
          </span>
        )}
      </div>
    </section>
  );
}

function toneOf(attempt: Attempt): string {
  if (attempt.ended_at === null) return "going";
  if (attempt.reason === "completed") return "good";
  return attempt.failure === null || UNHARMED.includes(attempt.reason) ? "off" : "bad";
}

function describe(attempt: Attempt, end: number): string {
  let before = attempt.placed_at;
  const stages = Object.entries(attempt.stages)
    .sort(([, one], [, other]) => one - other)
    .map(([name, at]) => {
      const line = `${name.replaceAll("_", " ")}: ${duration(at - before)}`;
      before = at;
      return line;
    });
  const whole = `Attempt ${attempt.number}, ${duration(end - attempt.placed_at)}`;
  return [whole, ...stages, attempt.reason?.replaceAll("_", " ") ?? "", attempt.decision ?? ""].filter(Boolean).join("\n");
}
