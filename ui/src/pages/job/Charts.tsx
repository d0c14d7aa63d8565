import { Button, Checkbox, FormControlLabel, Slider } from "@mui/material";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { Plot } from "../../components/Plot";
import { Empty, Failed, Loading } from "../../components/States";
import { isOver } from "../../components/StatusMark";
import { count, plural } from "../../words";
import { type Job, useMetrics } from "./data";
import { panelsOf } from "./panels";
import type { JobSearch } from "./search";

const route = getRouteApi("/jobs/$job");
const POINTS = 4_000;

/** One plot per metric. */
export default function Charts({ job }: { job: Job }) {
  const { smoothing = 0, log = false, zoom } = route.useSearch();
  const navigate = route.useNavigate();
  const { data, error, isPending } = useMetrics(job.id, { zoom, points: POINTS });
  const panels = useMemo(() => panelsOf(data?.series ?? []), [data]);
  function change(changes: JobSearch): void {
    void navigate({ search: (before) => ({ ...before, ...changes }), replace: true });
  }
  if (isPending) return <Loading what="the metrics" />;
  if (error && !data) return <Failed error={error} />;
  if (panels.length === 0) {
    return (
      <Empty title="No metrics yet">
        <p className="quiet">
          {isOver(job.status) ? "The job logged no metrics." : "They appear here as soon as a rank logs one:"} <code>run.log(step, loss=loss)</code>
        </p>
      </Empty>
    );
  }
  const thinned = data?.series.some((one) => one.thinned);
  return (
    <>
      <div className="line wrap" style={{ gap: 16 }}>
        <span className="line" style={{ width: 240 }}>
          <span id="smoothing" style={{ marginRight: 6 }}>Smoothing</span>
          <Slider
            size="small"
            min={0}
            max={0.99}
            step={0.01}
            value={smoothing}
            aria-labelledby="smoothing"
            onChange={(_, value) => change({ smoothing: value || undefined })}
          />
          <span>{smoothing.toFixed(2)}</span>
        </span>
        <FormControlLabel
          control={<Checkbox checked={log} onChange={(event) => change({ log: event.target.checked || undefined })} />}
          label="Log axis"
        />
        {zoom ? (
          <Button onClick={() => change({ zoom: undefined })}>
            Steps {count(zoom[0])} to {count(zoom[1])}: show all
          </Button>
        ) : (
          <span className="quiet">Drag over a plot to zoom in.</span>
        )}
        <span className="grow" />
        {thinned && <span className="quiet">Least and greatest of each stretch are shown. Zoom in for all points.</span>}
        {data && data.repeated_points > 0 && (
          <span className="quiet">{plural(data.repeated_points, "point")} of repeated steps are left out.</span>
        )}
      </div>
      <div className="plots">
        {panels.map((panel) => (
          <Plot
            key={panel.name}
            title={panel.name}
            curves={panel.curves}
            smoothing={smoothing}
            log={log}
            zoom={zoom}
            onZoom={(range) => change({ zoom: range })}
          />
        ))}
      </div>
    </>
  );
}
