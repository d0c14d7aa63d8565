import { Button } from "@mui/material";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, data } from "../../api/client";
import { Failed } from "../../components/States";
import { isOver, StatusMark } from "../../components/StatusMark";
import { useNow } from "../../components/Now";
import { Progress } from "../../components/Progress";
import { keepProject, useProject } from "../../ProjectChoice";
import { duration, moment } from "../../words";
import type { Job } from "./data";

const BLAME: Record<string, string> = {
  user: "The cause is in the job: change it, then rerun it.",
  infrastructure: "The cause is in the machines, not in the job.",
  platform: "The cause is in Headway itself. Its log says more.",
};

/** What the job is, what happens to it, who can fix it, and what can be done now. */
export function Head({ job }: { job: Job }) {
  const failure = job.status === "failed" ? job.attempt?.failure : null;
  return (
    <header className="head-of-job">
      <div className="line wrap">
        <h1 className="cut" title={job.name}>
          <bdi>{job.name}</bdi>
        </h1>
        <StatusMark status={job.status} hold={job.hold} />
        <Times job={job} />
        <span className="grow" />
        <Actions job={job} />
      </div>
      <div className="line wrap">
        <p className="grow">
          <bdi>{job.sentence}</bdi>{" "}
          {job.status === "failed" && job.blame && <span className="quiet">{BLAME[job.blame]}</span>}
          {job.origin && (
            <span className="quiet">
              {" "}
              It started from step {job.origin.step} of{" "}
              <Link to="/jobs/$job" params={{ job: job.origin.job }} search={keepProject}>
                <bdi>{job.origin.name}</bdi>
              </Link>
              .
            </span>
          )}
        </p>
        {job.progress && (
          <div className="job-progress">
            <Progress progress={job.progress} />
          </div>
        )}
      </div>
      {(failure?.hint || failure?.traceback) && (
        <div className="notice bad">
          {failure.hint}
          {failure.traceback && (
            <details>
              <summary>Traceback{failure.rank === null ? "" : ` of rank ${failure.rank}`}</summary>
              <pre className="block">{failure.traceback}</pre>
            </details>
          )}
        </div>
      )}
      {job.warnings.map((warning) => (
        <div key={warning} className="notice warn">
          {warning}
        </div>
      ))}
    </header>
  );
}

function Times({ job }: { job: Job }) {
  const now = useNow(1);
  const running = job.attempt?.started_at && !job.attempt.ended_at ? now - job.attempt.started_at : 0;
  const ran = job.ran_seconds + Math.max(0, running);
  return (
    <span className="quiet" title={`Submitted ${moment(job.created_at)}`}>
      {ran > 0 ? `ran ${duration(ran >= 10 ? Math.floor(ran) : ran)}` : `submitted ${duration(Math.max(1, Math.floor(now - job.created_at)))} ago`}
    </span>
  );
}

type Verb = "cancel" | "pause" | "resume";

function Actions({ job }: { job: Job }) {
  const project = useProject();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [asked, setAsked] = useState(false);
  const params = { path: { job: job.id }, query: { project } };
  const change = useMutation({
    mutationFn: (verb: Verb) => data(api.POST(`/api/v1/jobs/{job}/${verb}`, { params })),
    onSettled: () => {
      setAsked(false);
      void queries.invalidateQueries({ queryKey: ["job", job.id] });
    },
  });
  const rerun = useMutation({
    mutationFn: (changes: Record<string, string>) => data(api.POST("/api/v1/jobs/{job}/rerun", { params, body: changes })),
    onSuccess: (made) => void navigate({ to: "/jobs/$job", params: { job: made.id }, search: keepProject({ project }) }),
  });
  const over = isOver(job.status);
  const saved = job.checkpoints.filter((one) => one.complete).map((one) => one.step);
  const newest = saved.length > 0 ? Math.max(...saved) : null;
  const error = change.error ?? rerun.error;
  return (
    <div className="line wrap">
      {!over && !job.hold && <Button onClick={() => change.mutate("pause")}>Pause</Button>}
      {!over && job.hold && (
        <Button variant="outlined" onClick={() => change.mutate("resume")}>
          Resume
        </Button>
      )}
      {!over && (
        <Button color={asked ? "error" : "primary"} onClick={() => (asked ? change.mutate("cancel") : setAsked(true))}>
          {asked ? "Really cancel" : "Cancel"}
        </Button>
      )}
      <Button disabled={rerun.isPending} onClick={() => rerun.mutate({})} title="Submits the same spec again as a new job">
        Rerun
      </Button>
      {newest !== null && (
        <Button
          disabled={rerun.isPending}
          onClick={() => rerun.mutate({ from_checkpoint: `${job.id}@${newest}` })}
          title={`Starts a new job from this one's checkpoint of step ${newest}`}
        >
          Fork
        </Button>
      )}
      {error && <Failed error={error} />}
    </div>
  );
}
