import { stringify } from "yaml";
import type { Job } from "./data";
import { commandOf, withoutDefaults } from "../new/spec";

/** What was asked for: as a job file and as a command. */
export default function Spec({ job }: { job: Job }) {
  const { source, ...spec } = job.spec;
  const asked = withoutDefaults(spec);
  return (
    <div className="stack">
      <h2>Job file</h2>
      <pre className="block" tabIndex={0}>
        {stringify(asked)}
      </pre>
      {spec.trainer && (
        <>
          <h2>Command</h2>
          <pre className="block" tabIndex={0}>
            {commandOf(asked)}
          </pre>
        </>
      )}
      {source && (
        <>
          <h2>Source</h2>
          <pre className="block" tabIndex={0}>
            {source}
          </pre>
        </>
      )}
      {job.notes && (
        <>
          <h2>Notes</h2>
          <pre className="block" tabIndex={0}>
            {job.notes}
          </pre>
        </>
      )}
    </div>
  );
}
