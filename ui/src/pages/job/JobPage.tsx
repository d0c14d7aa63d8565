/** One job. */
export function JobPage() {
  return <div className="page" />;
}
