import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { Gone } from "./components/States";
import { Frame } from "./Frame";
import { JobsPage } from "./pages/jobs/JobsPage";
import { checkJobSearch } from "./pages/job/search";
import { checkJobsSearch } from "./pages/jobs/search";

const root = createRootRoute({
  component: Frame,
  notFoundComponent: () => <Gone sentence="This page does not exist." />,
});

const front = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/jobs" });
  },
});
const jobs = createRoute({ getParentRoute: () => root, path: "/jobs", validateSearch: checkJobsSearch, component: JobsPage });

const job = createRoute({
  getParentRoute: () => root,
  path: "/jobs/$job",
  validateSearch: checkJobSearch,
  component: lazyRouteComponent(() => import("./pages/job/JobPage"), "JobPage"),
});

export const router = createRouter({ routeTree: root.addChildren([front, jobs, job]), scrollRestoration: true });

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
