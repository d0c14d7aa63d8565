import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, data } from "../api/client";
import { Age } from "../components/Now";
import { Empty, Failed, Loading } from "../components/States";
import { useProject } from "../ProjectChoice";
import { figure } from "../words";

const MODELS = 200;

/** The trained and evaluated models, the most accurate first. */
export function ModelsPage() {
  const project = useProject();
  const query = { status: ["succeeded" as const], sort: "accuracy" as const, limit: MODELS, project };
  const { data: page, error } = useQuery({
    queryKey: ["models", project],
    queryFn: () => data(api.GET("/api/v1/jobs", { params: { query } })),
  });
  const models = page?.jobs.filter((row) => Object.keys(row.test).length > 0);
  return (
    <div className="page fill">
      <h1>Models</h1>
      {error ? <Failed error={error} /> : models === undefined && <Loading what="the models" />}
      {models?.length === 0 && (
        <Empty title="No evaluated models yet">
          <p className="quiet">A job that succeeds leaves its model here, with its test figures.</p>
          <Link to="/new" search={{}}>
            Train one
          </Link>
        </Empty>
      )}
      {models && models.length > 0 && (
        <div className="table">
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">Model</th>
                <th scope="col">Trainer</th>
                <th scope="col">Dataset</th>
                {["Test accuracy", "Macro F1", "Test loss", "Age"].map((word) => (
                  <th key={word} scope="col" className="right">
                    {word}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {models.map((row) => (
                <tr key={row.id}>
                  <td title={row.name}>
                    <Link to="/jobs/$job" params={{ job: row.id }} search={(before) => ({ project: before.project, tab: "files" as const })}>
                      <bdi>{row.name}</bdi>
                    </Link>
                  </td>
                  <td>{row.program}</td>
                  <td>{row.dataset}</td>
                  <td className="right">{percent(row.test.accuracy)}</td>
                  <td className="right">{percent(row.test.f1)}</td>
                  <td className="right">{row.test.loss === undefined ? "" : figure(row.test.loss)}</td>
                  <td className="right">
                    <Age at={row.created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

function percent(value: number | undefined): string {
  return value === undefined ? "" : `${(100 * value).toFixed(2)} %`;
}
