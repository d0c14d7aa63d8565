import { Button } from "@mui/material";
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { api, data } from "../../api/client";
import { Age } from "../../components/Now";
import { Empty, Failed } from "../../components/States";
import { isOver } from "../../components/StatusMark";
import { keepProject, useProject } from "../../ProjectChoice";
import { bytes, count, figure } from "../../words";
import type { Job } from "./data";

/** What the job stored: files and checkpoints. */
export default function Files({ job }: { job: Job }) {
  const model = job.artifacts.find((one) => one.name === "model.safetensors");
  return (
    <div className="stack">
      {model && (
        <div className="line">
          <Button variant="contained" href={fileUrl(job, model.name)} download={`${job.name}.safetensors`}>
            Download the model ({bytes(model.size_bytes)})
          </Button>
        </div>
      )}
      {job.artifacts.length === 0 ? (
        <Empty title="No files">
          <p className="quiet">
            {isOver(job.status) ? "The job stored none." : "They appear here when ranks store them."} A script writes them to the folder{" "}
            <code>HEADWAY_OUTPUT_DIRECTORY</code>.
          </p>
        </Empty>
      ) : (
        <div className="table">
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">File</th>
                <th scope="col" className="right">
                  Size
                </th>
                <th scope="col" className="right">
                  Attempt
                </th>
                <th scope="col">SHA-256</th>
              </tr>
            </thead>
            <tbody>
              {job.artifacts.map((file) => (
                <tr key={file.name}>
                  <td title={file.name}>
                    <a href={fileUrl(job, file.name)} download>
                      <bdi>{file.name}</bdi>
                    </a>
                  </td>
                  <td className="right">{bytes(file.size_bytes)}</td>
                  <td className="right">{file.attempt}</td>
                  <td>
                    <code title={file.sha256}>{file.sha256.slice(0, 12)}</code>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <Checkpoints job={job} />
    </div>
  );
}

function fileUrl(job: Job, name: string): string {
  const path = name.split("/").map(encodeURIComponent).join("/");
  return `/api/v1/jobs/${encodeURIComponent(job.id)}/artifacts/${path}?project=${encodeURIComponent(job.project)}`;
}

function Checkpoints({ job }: { job: Job }) {
  const project = useProject();
  const navigate = useNavigate();
  const fork = useMutation({
    mutationFn: (step: number) =>
      data(
        api.POST("/api/v1/jobs/{job}/rerun", {
          params: { path: { job: job.id }, query: { project } },
          body: { from_checkpoint: `${job.name}@${step}` },
        }),
      ),
    onSuccess: (made) => void navigate({ to: "/jobs/$job", params: { job: made.id }, search: keepProject({ project }) }),
  });
  if (job.checkpoints.length === 0) return null;
  return (
    <section className="stack" aria-label="Checkpoints">
      <h2>Checkpoints</h2>
      {fork.error && <Failed error={fork.error} />}
      <div className="table">
        <table className="plain">
          <thead>
            <tr>
              <th scope="col" className="right">
                Step
              </th>
              <th scope="col" className="right">
                Size
              </th>
              <th scope="col" className="right">
                Age
              </th>
              <th scope="col">Metrics</th>
              <th scope="col">Fork</th>
            </tr>
          </thead>
          <tbody>
            {job.checkpoints.map((one) => (
              <tr key={`${one.attempt}-${one.step}`}>
                <td className="right">{count(one.step)}</td>
                <td className="right">{bytes(one.size_bytes)}</td>
                <td className="right">{one.at === null ? `saving, ${one.parts_stored} of ${one.world_size}` : <Age at={one.at} />}</td>
                <td className="cut quiet">
                  {Object.entries(one.metrics)
                    .filter(([name]) => name.includes("loss") || name.includes("accuracy"))
                    .map(([name, value]) => `${name} ${figure(value)}`)
                    .join(", ")}
                </td>
                <td>
                  <Button disabled={!one.complete || fork.isPending} onClick={() => fork.mutate(one.step)}>
                    Start a job here
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
