import { Button } from "@mui/material";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { api, data } from "../../api/client";
import { Empty, Failed, Loading } from "../../components/States";
import { count, plural } from "../../words";
import { keepProject } from "../../ProjectChoice";
import { Chosen } from "./Chosen";
import { Filters } from "./Filters";
import { JobTable } from "./JobTable";
import { type Counts, useJobFeed, useJobs } from "./rows";
import type { Status } from "./search";

const route = getRouteApi("/jobs");
const RUNNING: Status[] = ["starting", "running", "stopping"];

/** The list of jobs: what runs, what waits and why, what failed. */
export function JobsPage() {
  const search = route.useSearch();
  const jobs = useJobs(search);
  const { counts, added, showAdded } = useJobFeed();
  const rows = jobs.data?.pages.flatMap((page) => page.jobs) ?? [];
  const damaged = jobs.data?.pages[0]?.damaged ?? [];
  const isEmpty = jobs.isSuccess && rows.length === 0;
  const filtered = search.name ?? search.dataset ?? search.label ?? search.status;
  return (
    <div className="page fill">
      <div className="line wrap">
        <h1>Jobs</h1>
        <Summary counts={counts} />
        <span className="grow" />
        {added > 0 && (
          <Button onClick={showAdded} role="status">
            {count(added)} new
          </Button>
        )}
        <NewJob />
      </div>
      {search.chosen ? <Chosen ids={search.chosen} rows={rows} /> : (!isEmpty || filtered) && <Filters search={search} />}
      {(jobs.isPending || jobs.isPlaceholderData) && <Loading what="jobs" />}
      {jobs.error && <Failed error={jobs.error} />}
      {damaged.length > 0 && (
        <div className="notice warn">
          {plural(damaged.length, "job")} cannot be read: {damaged.map((row) => row.name ?? row.id).join(", ")}. Run{" "}
          <code>headway damaged</code> on the server's machine.
        </div>
      )}
      {rows.length > 0 && (
        <JobTable rows={rows} search={search} onEnd={() => jobs.hasNextPage && !jobs.isFetching && void jobs.fetchNextPage()} />
      )}
      {isEmpty && (filtered ? <NoMatch /> : <NoJobs />)}
    </div>
  );
}

function Summary({ counts }: { counts: Counts | null }) {
  const { data: workers } = useQuery({
    queryKey: ["workers"],
    queryFn: () => data(api.GET("/api/v1/workers")),
    refetchInterval: 3_000,
  });
  const slots = workers?.reduce((sum, one) => sum + one.slots, 0) ?? 0;
  const used = workers?.reduce((sum, one) => sum + one.used_slots, 0) ?? 0;
  return (
    <div className="figures">
      <Link to="/jobs" search={(before) => ({ ...keepProject(before), status: RUNNING })}>
        <b>{counts ? count(counts.running) : "–"}</b>running
      </Link>
      <Link to="/jobs" search={(before) => ({ ...keepProject(before), status: ["queued"] })}>
        <b>{counts ? count(counts.waiting) : "–"}</b>waiting
      </Link>
      <Link to="/jobs" search={(before) => ({ ...keepProject(before), status: ["failed"] })} className={counts?.failedToday ? "failed" : undefined}>
        <b>{counts ? count(counts.failedToday) : "–"}</b>failed in 24 h
      </Link>
      <Link to="/workers" search={keepProject}>
        <b>{workers ? `${count(used)} of ${count(slots)}` : "–"}</b>slots in use
      </Link>
    </div>
  );
}

function NoMatch() {
  return (
    <Empty title="No job matches">
      <Link to="/jobs" search={keepProject}>
        Show all jobs
      </Link>
    </Empty>
  );
}

function NoJobs() {
  return (
    <Empty title="No jobs yet">
      <p className="quiet">A job trains a model on your workers, and its losses, logs and results are here while it runs.</p>
      <NewJob />
    </Empty>
  );
}

function NewJob() {
  const navigate = useNavigate();
  return (
    <Button variant="contained" onClick={() => void navigate({ to: "/new", search: keepProject })}>
      New job
    </Button>
  );
}
