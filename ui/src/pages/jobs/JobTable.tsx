import { useMediaQuery } from "@mui/material";
import { Link, useNavigate } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useRef } from "react";
import { Age } from "../../components/Now";
import { Progress } from "../../components/Progress";
import { Sparkline } from "../../components/Sparkline";
import { StatusMark } from "../../components/StatusMark";
import { keepProject } from "../../ProjectChoice";
import { figure } from "../../words";
import type { Row } from "./rows";
import type { JobsSearch } from "./search";

const NEAR_END = 30;

/** The rows, of which only those in sight exist in the page. */
export function JobTable({ rows, search, onEnd }: { rows: Row[]; search: JobsSearch; onEnd: () => void }) {
  const place = useRef<HTMLDivElement>(null);
  const isSmall = useMediaQuery("(max-width: 820px)", { noSsr: true });
  const navigate = useNavigate({ from: "/jobs" });
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => place.current,
    estimateSize: () => (isSmall ? 56 : 32),
    overscan: 12,
    getItemKey: (index) => rows[index]?.id ?? index,
  });
  useEffect(() => virtual.measure(), [isSmall, virtual]);
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= rows.length - NEAR_END) onEnd();
  }, [last, rows.length, onEnd]);

  const chosen = new Set(search.chosen);
  function choose(ids: string[]): void {
    void navigate({ search: (before) => ({ ...before, chosen: ids.length > 0 ? ids : undefined }), replace: true });
  }
  function toggle(id: string): void {
    choose(chosen.has(id) ? [...chosen].filter((one) => one !== id) : [...chosen, id]);
  }
  return (
    <div className="table scrolls" ref={place} role="table" aria-label="Jobs" aria-rowcount={rows.length + 1} tabIndex={0}>
      <div className="rowline head jobs" role="row">
        <span role="columnheader">
          <input
            type="checkbox"
            aria-label="Choose all jobs that are loaded"
            checked={chosen.size > 0 && chosen.size === rows.length}
            onChange={(event) => choose(event.target.checked ? rows.map((row) => row.id) : [])}
          />
        </span>
        <span role="columnheader">Status</span>
        <span role="columnheader">Name</span>
        <span role="columnheader">What happens</span>
        <span role="columnheader">Progress</span>
        <span role="columnheader" className="spark-cell">
          Curve
        </span>
        <span role="columnheader" className="metric">
          Metric
        </span>
        <span role="columnheader" className="right">
          Ranks
        </span>
        <span role="columnheader" className="owner">
          Owner
        </span>
        <span role="columnheader" className="right">
          Age
        </span>
      </div>
      <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {items.map((item) => {
          const row = rows[item.index];
          if (row === undefined) return null;
          return (
            <div key={item.key} role="presentation" style={{ position: "absolute", top: item.start, left: 0, right: 0 }}>
              <Line row={row} isChosen={chosen.has(row.id)} onToggle={toggle} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

interface LineProps {
  row: Row;
  isChosen: boolean;
  onToggle: (id: string) => void;
}

const Line = memo(function Line({ row, isChosen, onToggle }: LineProps) {
  return (
    <div className={isChosen ? "rowline jobs chosen" : "rowline jobs"} role="row" aria-selected={isChosen}>
      <span role="cell" className="pick">
        <input type="checkbox" aria-label={`Choose ${row.name}`} checked={isChosen} onChange={() => onToggle(row.id)} />
      </span>
      <span role="cell">
        <StatusMark status={row.status} hold={row.hold} />
      </span>
      <span role="cell" className="cut" title={row.name}>
        <Link to="/jobs/$job" params={{ job: row.id }} search={keepProject} className="name">
          <bdi>{row.name}</bdi>
        </Link>
      </span>
      <span
        role="cell"
        className={`cut sentence ${row.progress ? "" : "wide"} ${row.status === "failed" || row.status === "queued" ? "" : "quiet"}`}
        aria-colspan={row.progress ? 1 : 2}
        title={row.sentence}
      >
        <bdi>{row.sentence}</bdi>
      </span>
      {row.progress && (
        <span role="cell" className="progress">
          <Progress progress={row.progress} />
        </span>
      )}
      <span role="cell" className="spark-cell">
        <Sparkline values={row.sparkline.map((one) => one ?? Number.NaN)} label={`Curve of ${row.metric?.name ?? "no metric"}`} />
      </span>
      <span role="cell" className="metric cut">
        <Figure row={row} />
      </span>
      <span role="cell" className="right ranks">
        {row.ranks}
      </span>
      <span role="cell" className="cut owner quiet" title={row.owner ?? "whoever has the server's home"}>
        <bdi>{row.owner ?? "owner"}</bdi>
      </span>
      <span role="cell" className="right quiet">
        <Age at={row.created_at} />
      </span>
    </div>
  );
});

/** The test's accuracy where there is one, else the newest point of the main metric. */
function Figure({ row }: { row: Row }) {
  const accuracy = row.test.accuracy;
  if (accuracy !== undefined) {
    return (
      <span title={Object.entries(row.test).map(([name, value]) => `test ${name} ${value}`).join("\n")}>
        <span className="quiet">accuracy</span> {(100 * accuracy).toFixed(2)} %
      </span>
    );
  }
  if (row.metric === null) return null;
  return (
    <span title={`${row.metric.name} ${row.metric.value}`}>
      <bdi className="quiet">{row.metric.name.split("/").at(-1)}</bdi> {figure(row.metric.value)}
    </span>
  );
}
