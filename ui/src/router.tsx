import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { Broken, Gone } from "./components/States";
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

const newJob = createRoute({
  getParentRoute: () => root,
  path: "/new",
  validateSearch: (given: Record<string, unknown>) => ({ ...projectOf(given), ...(typeof given.trainer === "string" ? { trainer: given.trainer } : {}) }),
  component: lazyRouteComponent(() => import("./pages/new/NewJobPage"), "NewJobPage"),
});
const compare = createRoute({
  getParentRoute: () => root,
  path: "/compare",
  validateSearch: (given: Record<string, unknown>) => ({
    ...projectOf(given),
    ...(Array.isArray(given.jobs) ? { jobs: given.jobs.map(String) } : {}),
    ...(given.by === "time" ? { by: "time" as const } : {}),
  }),
  component: lazyRouteComponent(() => import("./pages/compare/ComparePage"), "ComparePage"),
});
const datasets = createRoute({
  getParentRoute: () => root,
  path: "/datasets",
  validateSearch: projectOf,
  component: lazyRouteComponent(() => import("./pages/DatasetsPage"), "DatasetsPage"),
});
const models = createRoute({
  getParentRoute: () => root,
  path: "/models",
  validateSearch: projectOf,
  component: lazyRouteComponent(() => import("./pages/ModelsPage"), "ModelsPage"),
});
const workers = createRoute({
  getParentRoute: () => root,
  path: "/workers",
  validateSearch: projectOf,
  component: lazyRouteComponent(() => import("./pages/WorkersPage"), "WorkersPage"),
});
const settings = createRoute({
  getParentRoute: () => root,
  path: "/settings",
  validateSearch: projectOf,
  component: lazyRouteComponent(() => import("./pages/SettingsPage"), "SettingsPage"),
});

function projectOf(given: Record<string, unknown>): { project?: string } {
  return typeof given.project === "string" ? { project: given.project } : {};
}

export const router = createRouter({
  routeTree: root.addChildren([front, jobs, job, newJob, compare, datasets, models, workers, settings]),
  scrollRestoration: true,
  defaultErrorComponent: Broken,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
