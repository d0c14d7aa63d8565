import { Button } from "@mui/material";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, data, type Schemas } from "../api/client";
import { Age } from "../components/Now";
import { Empty, Failed, Loading } from "../components/States";
import { Mark } from "../components/StatusMark";
import { keepProject, useProject } from "../ProjectChoice";
import { bytes, count } from "../words";

type Worker = Schemas["WorkerView"];
type Verb = "drain" | "undrain" | "restore";

const JOBS = 500;

/** The machines: what they have, what runs on them, and which take no jobs. */
export function WorkersPage() {
  const { data: workers, error } = useQuery({
    queryKey: ["workers"],
    queryFn: () => data(api.GET("/api/v1/workers")),
    refetchInterval: 3_000,
  });
  const project = useProject();
  const { data: page } = useQuery({
    queryKey: ["names of running jobs", project],
    queryFn: () => data(api.GET("/api/v1/jobs", { params: { query: { status: ["starting", "running", "stopping"], limit: JOBS, project } } })),
    refetchInterval: 3_000,
  });
  const names = new Map(page?.jobs.map((row) => [row.id, row.name]));
  return (
    <div className="page fill">
      <h1>Workers</h1>
      {error ? <Failed error={error} /> : workers === undefined && <Loading what="the workers" />}
      {workers?.length === 0 && (
        <Empty title="No workers are connected">
          <p className="quiet">Jobs wait until one is. Run this on each machine that shall train:</p>
          <code>headway worker --server {location.origin} --token-file join.token</code>
        </Empty>
      )}
      {workers && workers.length > 0 && (
        <div className="table">
          <table className="plain">
            <thead>
              <tr>
                {["Worker", "State", "Slots", "Jobs", "Processors", "Memory", "Accelerators", "Host", "Connected", ""].map((word) => (
                  <th key={word} scope="col">
                    {word || <span className="hidden">Change</span>}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {workers.map((worker) => (
                <Line key={worker.id} worker={worker} names={names} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

function Line({ worker, names }: { worker: Worker; names: Map<string, string> }) {
  const queries = useQueryClient();
  const change = useMutation({
    mutationFn: (verb: Verb) => data(api.POST(`/api/v1/workers/{name}/${verb}`, { params: { path: { name: worker.name } } })),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["workers"] }),
  });
  const verb: Verb = worker.quarantine ? "restore" : worker.draining ? "undrain" : "drain";
  const words = { restore: "Restore", undrain: "Let it take jobs", drain: "Drain" };
  const { load } = worker;
  return (
    <>
      <tr>
        <td title={`${worker.platform}, Headway ${worker.version}`}>
          <bdi>{worker.name}</bdi>
        </td>
        <td title={worker.quarantine?.reason}>
          {worker.quarantine ? (
            <Mark word="quarantined" tone="bad" shape="cross" />
          ) : worker.draining ? (
            <Mark word="drained" tone="warn" shape="pause" />
          ) : worker.used_slots > 0 ? (
            <Mark word="training" tone="going" shape="play" />
          ) : (
            <Mark word="ready" tone="good" shape="check" />
          )}
        </td>
        <td>
          {count(worker.used_slots)} of {count(worker.slots)}
        </td>
        <td>
          {Object.entries(worker.ranks).map(([job, ranks]) => (
            <Link key={job} to="/jobs/$job" params={{ job }} search={keepProject} title={`ranks ${String(ranks)}`}>
              <bdi>{names.get(job) ?? job}</bdi>{" "}
            </Link>
          ))}
        </td>
        <td>{load ? `${Math.round(100 * load.cpu_fraction)} %` : ""}</td>
        <td>{load ? `${bytes(load.memory_used_bytes)} of ${bytes(load.memory_bytes)}` : ""}</td>
        <td>{worker.accelerators.length === 0 ? "none" : worker.accelerators.join(", ")}</td>
        <td>{worker.host}</td>
        <td>
          <Age at={worker.registered_at} />
        </td>
        <td className="right">
          <Button disabled={change.isPending} onClick={() => change.mutate(verb)}>
            {words[verb]}
          </Button>
        </td>
      </tr>
      {change.error && (
        <tr>
          <td colSpan={10}>
            <Failed error={change.error} />
          </td>
        </tr>
      )}
    </>
  );
}
