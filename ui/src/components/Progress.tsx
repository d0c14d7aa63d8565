import { count, duration } from "../words";

interface Shown {
  step: number;
  total_steps: number | null;
  steps_per_second: number | null;
  remaining_seconds: number | null;
}

/** How far training is, and when it will be done. */
export function Progress({ progress }: { progress: Shown | null }) {
  if (progress === null) return null;
  const { step, total_steps: total, remaining_seconds: left } = progress;
  const share = total ? Math.min(1, step / total) : null;
  const rate = progress.steps_per_second === null ? "" : `, ${progress.steps_per_second.toFixed(1)} steps/s`;
  return (
    <span title={`step ${count(step)}${total ? ` of ${count(total)}` : ""}${rate}${left === null ? "" : `, ${duration(left)} left`}`} style={{ whiteSpace: "nowrap" }}>
      <span className="line" style={{ justifyContent: "space-between" }}>
        <span>{share === null ? `step ${count(step)}` : `${Math.floor(share * 100)} %`}</span>
        <span className="quiet">{left === null ? "" : `${duration(left < 60 ? left : 60 * Math.round(left / 60))} left`}</span>
      </span>
      {share !== null && (
        <div className="bar" role="progressbar" aria-label="Training" aria-valuenow={Math.floor(share * 100)}>
          <i style={{ width: `${share * 100}%` }} />
        </div>
      )}
    </span>
  );
}
