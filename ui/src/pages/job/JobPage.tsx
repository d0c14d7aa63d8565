import { Tab, Tabs } from "@mui/material";
import { getRouteApi } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { Failed, Loading } from "../../components/States";
import { isOver } from "../../components/StatusMark";
import { useAttempts, useJob, useRenewal } from "./data";
import { Head } from "./Head";
import { TABS } from "./search";
import { Timeline } from "./Timeline";

const route = getRouteApi("/jobs/$job");
const VIEWS = {
  charts: lazy(() => import("./Charts")),
  log: lazy(() => import("./Log")),
  results: lazy(() => import("./Results")),
  files: lazy(() => import("./Files")),
  resources: lazy(() => import("./Resources")),
  spec: lazy(() => import("./Spec")),
};
const WORDS = { charts: "Charts", log: "Log", results: "Results", files: "Files", resources: "Resources", spec: "Spec" };

/** One job: what happens to it and what it leaves. */
export function JobPage() {
  const { job: id } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { data: job, error, isPending } = useJob(id);
  const { data: attempts = [] } = useAttempts(id);
  useRenewal(id, job !== undefined && !isOver(job.status));
  if (job === undefined) return <div className="page">{isPending ? <Loading what="the job" /> : <Failed error={error} />}</div>;
  const tab = search.tab ?? "charts";
  const View = VIEWS[tab];
  return (
    <div className="page fill">
      {error && <Failed error={error} />}
      <Head job={job} />
      <Timeline job={job} attempts={attempts} />
      <Tabs
        value={tab}
        aria-label="What to see of the job"
        variant="scrollable"
        onChange={(_, chosen) => void navigate({ search: (before) => ({ ...before, tab: chosen }) })}
        sx={{ borderBottom: "1px solid var(--line)", flex: "none" }}
      >
        {TABS.map((one) => (
          <Tab key={one} value={one} label={WORDS[one]} id={`tab-${one}`} aria-controls="view" />
        ))}
      </Tabs>
      <div role="tabpanel" id="view" aria-labelledby={`tab-${tab}`} className="view">
        <Suspense fallback={<Loading what={WORDS[tab]} />}>
          <View job={job} />
        </Suspense>
      </div>
    </div>
  );
}
