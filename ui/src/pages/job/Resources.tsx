import { useMemo } from "react";
import { Plot } from "../../components/Plot";
import { Empty, Failed, Loading } from "../../components/States";
import { bytes, figure } from "../../words";
import { type Job, useMetrics } from "./data";
import { overTime, panelsOf } from "./panels";

const NAMES = ["system/cpu_cores", "system/memory_bytes", "system/gpu_fraction", "system/gpu_memory_bytes"];
const WORDS: Record<string, string> = {
  cpu_cores: "Processor cores in use",
  memory_bytes: "Memory",
  gpu_fraction: "Accelerator busy",
  gpu_memory_bytes: "Accelerator memory",
};

/** What each rank uses of its machine. */
export default function Resources({ job }: { job: Job }) {
  const { data, error, isPending } = useMetrics(job.id, { names: NAMES, points: 1_000 });
  const panels = useMemo(() => panelsOf(overTime(data?.series ?? [])), [data]);
  if (isPending) return <Loading what="the samples" />;
  if (error && !data) return <Failed error={error} />;
  if (panels.length === 0) {
    return (
      <Empty title="No samples yet">
        <p className="quiet">Workers sample the memory and processors of each rank while it runs. A short job has none.</p>
      </Empty>
    );
  }
  return (
    <div className="plots">
      {panels.map(({ name, curves }) => (
        <Plot
          key={name}
          title={WORDS[name] ?? name}
          curves={curves.map((curve) => ({ ...curve, label: curve.label === "system" ? "rank 0" : curve.label.replace("system, ", "") }))}
          fromZero
          format={name.endsWith("_bytes") ? bytes : figure}
          xWord="seconds"
        />
      ))}
    </div>
  );
}
