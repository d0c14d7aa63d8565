/**
 * A smoothed line: at each point the weighted mean of it and the points before it, where older ones weigh less. It
 * depends on no later point, so new points never change what was drawn. What is not finite makes a gap.
 */
export function smoothed(values: readonly (number | null)[], smoothing: number): (number | null)[] {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return null;
    sum = smoothing * sum + (1 - smoothing) * value;
    weight = smoothing * weight + (1 - smoothing);
    return sum / weight;
  });
}
