/** A line of a few values. What is not finite makes a gap. */
export function Sparkline({ values, label }: { values: number[]; label: string }) {
  const finite = values.filter(Number.isFinite);
  if (finite.length < 2) return null;
  const least = Math.min(...finite);
  const range = Math.max(...finite) - least || 1;
  let gap = true;
  const path = values
    .map((value, index) => {
      if (!Number.isFinite(value)) {
        gap = true;
        return "";
      }
      const command = gap ? "M" : "L";
      gap = false;
      return `${command}${((index / (values.length - 1)) * 92).toFixed(1)} ${(18 - ((value - least) / range) * 16).toFixed(1)}`;
    })
    .join("");
  return (
    <svg className="spark" viewBox="0 0 92 20" role="img" aria-label={label}>
      <path d={path} />
    </svg>
  );
}
