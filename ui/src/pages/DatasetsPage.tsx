import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, data, type Schemas } from "../api/client";
import { Empty, Failed, Loading } from "../components/States";
import { useProject } from "../ProjectChoice";
import { bytes, count } from "../words";

/** The datasets of the project. */
export function DatasetsPage() {
  const project = useProject();
  const { data: datasets, error } = useQuery({
    queryKey: ["datasets", project],
    queryFn: () => data(api.GET("/api/v1/datasets", { params: { query: { project } } })),
  });
  return (
    <div className="page fill">
      <h1>Datasets</h1>
      {error ? <Failed error={error} /> : datasets === undefined && <Loading what="the datasets" />}
      {datasets?.length === 0 && (
        <Empty title="No datasets yet">
          <p className="quiet">mnist and digits are built in and appear after their first use. Your own come from a terminal:</p>
          <code>headway datasets add NAME FILE.npz</code>
        </Empty>
      )}
      {datasets && datasets.length > 0 && (
        <div className="table">
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Samples</th>
                <th scope="col">Shape</th>
                <th scope="col" className="right">
                  Classes
                </th>
                <th scope="col" className="right">
                  Stored
                </th>
                <th scope="col">Source</th>
                <th scope="col">Used by</th>
              </tr>
            </thead>
            <tbody>
              {datasets.map((one) => (
                <Line key={one.name} dataset={one} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

function Line({ dataset }: { dataset: Schemas["Dataset"] }) {
  const splits = Object.entries(dataset.splits);
  const stored = splits.flatMap(([, split]) => split.blocks).reduce((sum, block) => sum + block.compressed_bytes, 0);
  const arrays = Object.entries(splits[0]?.[1].arrays ?? {});
  return (
    <tr>
      <td>
        <bdi>{dataset.name}</bdi>
      </td>
      <td>{splits.map(([name, split]) => `${name} ${count(split.sample_count)}`).join(", ")}</td>
      <td>{arrays.map(([name, array]) => `${name} ${array.dtype}${array.sample_shape.length > 0 ? ` ${array.sample_shape.join("×")}` : ""}`).join(", ")}</td>
      <td className="right">{dataset.classes === null ? "" : count(dataset.classes)}</td>
      <td className="right">{bytes(stored)}</td>
      <td title={dataset.source}>{dataset.source}</td>
      <td>
        <Link to="/jobs" search={(before) => ({ project: before.project, dataset: dataset.name })}>
          its jobs
        </Link>
      </td>
    </tr>
  );
}
