import { ToggleButton, ToggleButtonGroup } from "@mui/material";
import { useQueries } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { api, data } from "../../api/client";
import { Plot } from "../../components/Plot";
import { Empty, Failed, Loading } from "../../components/States";
import { StatusMark } from "../../components/StatusMark";
import { keepProject, useProject } from "../../ProjectChoice";
import { figure, numberOf } from "../../words";
import type { Job } from "../job/data";
import { overTime, type Panel, panelsOf } from "../job/panels";
import { differences } from "./differences";

const route = getRouteApi("/compare");
const POINTS = 500;

/** Jobs side by side: what differs between them, their curves, and their final figures. */
export function ComparePage() {
  const { jobs: ids = [], by } = route.useSearch();
  const navigate = route.useNavigate();
  const project = useProject();
  const found = useQueries({
    queries: ids.map((id) => ({
      queryKey: ["job", id, "job"],
      queryFn: () => data(api.GET("/api/v1/jobs/{job}", { params: { path: { job: id }, query: { project } } })),
    })),
  });
  const metrics = useQueries({
    queries: ids.map((id) => ({
      queryKey: ["job", id, "metrics", "compare"],
      queryFn: () => data(api.GET("/api/v1/jobs/{job}/metrics", { params: { path: { job: id }, query: { project, points: POINTS } } })),
    })),
  });
  const jobs = found.flatMap((one) => (one.data ? [one.data] : []));
  const error = found.find((one) => one.error)?.error;
  const loaded = metrics.map((one) => one.data);
  const panels = useMemo(() => {
    const merged = new Map<string, Panel["curves"]>();
    loaded.forEach((answer, place) => {
      const name = found[place]?.data?.name ?? "";
      for (const panel of panelsOf(by === "time" ? overTime(answer?.series ?? []) : (answer?.series ?? []), `${name} `)) {
        merged.set(panel.name, [...(merged.get(panel.name) ?? []), ...panel.curves.map((curve, one) => ({ ...curve, colour: place, dashed: one > 0 }))]);
      }
    });
    return [...merged].filter(([name]) => name !== "epoch");
    // The lists of answers are new at each render; their parts are not.
    // eslint-disable-next-line
  }, [...loaded, jobs.length, by]);
  if (ids.length === 0) {
    return (
      <div className="page">
        <h1>Compare</h1>
        <Empty title="Nothing to compare yet">
          <p className="quiet">Choose some jobs in the list, then press Compare.</p>
          <Link to="/jobs" search={keepProject}>
            All jobs
          </Link>
        </Empty>
      </div>
    );
  }
  return (
    <div className="page fill">
      <h1>Compare</h1>
      {error && <Failed error={error} />}
      {jobs.length === 0 && !error && <Loading what="the jobs" />}
      {jobs.length > 0 && <Figures jobs={jobs} />}
      {panels.length > 0 && (
        <ToggleButtonGroup
          exclusive
          size="small"
          value={by ?? "step"}
          aria-label="Curves by"
          onChange={(_, chosen) => chosen && void navigate({ search: (before) => ({ ...before, by: chosen === "time" ? ("time" as const) : undefined }), replace: true })}
        >
          {["step", "time"].map((one) => (
            <ToggleButton key={one} value={one}>
              by {one}
            </ToggleButton>
          ))}
        </ToggleButtonGroup>
      )}
      <div className="plots">
        {panels.map(([name, curves]) => (
          <Plot key={name} title={name} curves={curves} xWord={by === "time" ? "seconds" : "step"} />
        ))}
      </div>
    </div>
  );
}

function Figures({ jobs }: { jobs: Job[] }) {
  const fields = differences(jobs.map((job) => job.spec));
  return (
    <div className="table" tabIndex={0}>
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">Status</th>
            {fields.map((field) => (
              <th key={field.name} scope="col">
                {field.name}
              </th>
            ))}
            {["accuracy", "f1", "loss"].map((name) => (
              <th key={name} scope="col" className="right">
                test {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {jobs.map((job, place) => {
            const test = (job.result?.test ?? {}) as Record<string, number | string | undefined>;
            return (
              <tr key={job.id}>
                <td>
                  <Link to="/jobs/$job" params={{ job: job.id }} search={keepProject}>
                    <bdi>{job.name}</bdi>
                  </Link>
                </td>
                <td>
                  <StatusMark status={job.status} hold={job.hold} />
                </td>
                {fields.map((field) => (
                  <td key={field.name} title={field.values[place]}>
                    <bdi>{field.values[place]}</bdi>
                  </td>
                ))}
                {["accuracy", "f1", "loss"].map((name) => (
                  <td key={name} className="right">
                    {test[name] === undefined ? "" : name === "loss" ? figure(test[name]) : `${(100 * numberOf(test[name])).toFixed(2)} %`}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
