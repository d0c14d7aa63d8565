import { useState } from "react";
import { Empty } from "../../components/States";
import { isOver } from "../../components/StatusMark";
import { count, figure } from "../../words";
import type { Job } from "./data";

interface Split {
  samples?: number;
  loss?: number | string;
  accuracy?: number | string;
  f1?: number | string;
  confusion?: number[][];
}

/** How good the model is: figures, the confusion matrix, and each class. */
export default function Results({ job }: { job: Job }) {
  const splits = Object.entries(job.result ?? {}).filter((one): one is [string, Split] => isSplit(one[1]));
  const rest = Object.entries(job.result ?? {}).filter(([, value]) => !isSplit(value));
  const [chosen, setChosen] = useState("test");
  const confusion = (splits.find(([name]) => name === chosen) ?? splits.at(-1))?.[1].confusion;
  if (splits.length === 0 && rest.length === 0) {
    return (
      <Empty title="No results">
        <p className="quiet">
          {isOver(job.status) ? "The job recorded none." : "They come when the training has ended."} A script records its own with{" "}
          <code>{'run.finish(test={"accuracy": accuracy})'}</code>.
        </p>
      </Empty>
    );
  }
  return (
    <div className="stack">
      {splits.length > 0 && (
        <div className="table">
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">Part of the data</th>
                {["Samples", "Accuracy", "Macro F1", "Loss"].map((word) => (
                  <th key={word} scope="col" className="right">
                    {word}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {splits.map(([name, split]) => (
                <tr key={name}>
                  <td>
                    {split.confusion && splits.length > 1 ? (
                      <button type="button" className="link" aria-pressed={chosen === name} onClick={() => setChosen(name)}>
                        {name}
                      </button>
                    ) : (
                      name
                    )}
                  </td>
                  <td className="right">{split.samples === undefined ? "" : count(split.samples)}</td>
                  <td className="right">{share(split.accuracy)}</td>
                  <td className="right">{share(split.f1)}</td>
                  <td className="right">{split.loss === undefined ? "" : figure(split.loss)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {confusion && <Confusion name={chosen} matrix={confusion} />}
      {rest.length > 0 && <pre className="block">{JSON.stringify(Object.fromEntries(rest), null, 2)}</pre>}
    </div>
  );
}

function isSplit(value: unknown): value is Split {
  return typeof value === "object" && value !== null && ("accuracy" in value || "loss" in value);
}

function share(value: number | string | undefined): string {
  return typeof value === "number" ? `${(100 * value).toFixed(2)} %` : value === undefined ? "" : figure(value);
}

/** Rows are the true classes, columns what the model said. Darker means more. */
function Confusion({ name, matrix }: { name: string; matrix: number[][] }) {
  const sum = (numbers: number[]) => numbers.reduce((one, other) => one + other, 0);
  const columns = matrix.map((_, place) => sum(matrix.map((row) => row[place] ?? 0)));
  return (
    <section aria-label={`Confusion matrix of ${name}`}>
      <h2>Confusion, {name}</h2>
      <p className="quiet">A row is the true class, a column is what the model said.</p>
      <div style={{ overflowX: "auto" }} tabIndex={0}>
        <table className="confusion">
          <thead>
            <tr>
              <th scope="col">class</th>
              {matrix.map((_, place) => (
                <th key={place} scope="col">
                  {place}
                </th>
              ))}
              {["Recall", "Precision", "F1"].map((word) => (
                <th key={word} scope="col">
                  {word}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {matrix.map((row, true_) => {
              const hits = row[true_] ?? 0;
              const recall = hits / (sum(row) || 1);
              const precision = hits / (columns[true_] || 1);
              return (
                <tr key={true_}>
                  <th scope="row">{true_}</th>
                  {row.map((cell, said) => (
                    <td key={said} style={{ background: tint(cell / (sum(row) || 1), said === true_) }} title={`${cell} of class ${true_} were called ${said}`}>
                      {cell === 0 ? "·" : count(cell)}
                    </td>
                  ))}
                  <td>{share(recall)}</td>
                  <td>{share(precision)}</td>
                  <td>{share((2 * recall * precision) / (recall + precision || 1))}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function tint(part: number, isRight: boolean): string {
  if (part === 0) return "transparent";
  const strength = Math.round(8 + 42 * Math.sqrt(part));
  return `color-mix(in srgb, ${isRight ? "var(--accent)" : "var(--bad)"} ${strength}%, transparent)`;
}
