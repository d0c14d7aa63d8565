import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ask, expectAccessible, launch, open, SERVER, variable } from "./open";

let browser: Browser;
let page: Page;
const faults: string[] = [];

beforeAll(async () => {
  browser = await launch();
  page = await open(browser, faults);
  await page.goto(`${SERVER}/jobs`);
  await page.getByRole("heading", { name: "Log in to Headway" }).waitFor();
  const link = (await ask("/links", {})) as { path: string };
  await page.goto(SERVER + link.path);
});
afterAll(() => browser.close());
afterEach(() => expect(faults.splice(0)).toEqual([]));

test("from an empty installation to a job that outlives its worker", async () => {
  await page.getByRole("heading", { name: "No jobs yet" }).waitFor();
  await expectAccessible(page);
  await page.getByRole("button", { name: "New job" }).first().click();
  await page.getByRole("combobox", { name: "Dataset" }).click();
  await page.getByRole("option", { name: "digits" }).click();
  await page.getByRole("spinbutton", { name: "Ranks" }).fill("2");
  await page.getByRole("textbox", { name: "Name" }).fill("first");
  await page.getByLabel("epochs").fill("0");
  await page.getByText("Must be at least 1.").waitFor();
  await page.getByLabel("epochs").fill("3000");
  await page.getByText("2 ranks on").waitFor();
  await expectAccessible(page);
  await page.getByRole("button", { name: "Start the job" }).click();

  const loss = page.getByRole("img", { name: /^loss: / });
  await loss.waitFor();
  const before = await loss.getAttribute("aria-label");
  await page.waitForFunction((text) => document.querySelector('[aria-label^="loss: "]')?.getAttribute("aria-label") !== text, before);
  await page.goto(`${page.url().split("?")[0]}?zoom=%5B20%2C40%5D&smoothing=0.5`);
  await page.getByRole("button", { name: "Steps 20 to 40: show all" }).waitFor();
  await expectAccessible(page);

  const workers = JSON.parse(variable("WORKERS")) as Record<string, number>;
  const place = await page.getByText(/^Attempt 1: 2 ranks on/).textContent();
  const used = Object.keys(workers).find((name) => place?.includes(`on ${name}`)) as string;
  process.kill(workers[used] as number, "SIGKILL");
  await page.getByText(/^Attempt 1 ended/).waitFor();
  await page.getByText(/^Attempt 2: 2 ranks on/).waitFor();
  await page.getByRole("button", { name: "Steps 20 to 40: show all" }).waitFor();

  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Really cancel" }).click();
  await page.locator(".mark", { hasText: "cancelled" }).waitFor();
});

test("hostile texts stay texts, and what is not finite is said", async () => {
  const hostile = '<img src=x onerror="alert(1)">';
  const source = [
    "import headway",
    "run = headway.run()",
    `print(${JSON.stringify(`\u001b[31m${hostile}\u001b[0m`)})`,
    "print('\u202egnitirw' + 'x' * 10_000)",
    "for step, loss in enumerate([1.0, float('nan'), float('inf'), 0.5]): run.log(step, loss=loss)",
    `raise ValueError(${JSON.stringify(hostile)} + 'y' * 10_000)`,
  ].join("\n");
  const job = (await ask("/jobs", { script: "x.py", source, notes: hostile, name: "hostile", retries: 0 })) as { id: string };
  await page.goto(`${SERVER}/jobs/${job.id}`);
  await page.locator(".mark", { hasText: "failed" }).waitFor();
  await page.getByText("The cause is in the job: change it, then rerun it.").waitFor();
  await page.getByText("2 not finite").waitFor();
  await page.getByRole("tab", { name: "Log" }).click();
  await page.locator(".log-line .ansi-red", { hasText: hostile }).waitFor();
  await expectAccessible(page);
  await page.getByRole("tab", { name: "Spec" }).click();
  await page.getByRole("heading", { name: "Notes" }).waitFor();
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true);
  expect(await page.locator('img[src="x"]').count()).toBe(0);
});

test("a server that restarts greys what is shown until it is back", async () => {
  await page.goto(`${SERVER}/jobs`);
  await page.getByRole("link", { name: "hostile" }).waitFor();
  await page.getByText("live", { exact: true }).waitFor();
  process.kill(Number(variable("SERVER_PID")), "SIGKILL");
  await page.getByText(/connection lost .* ago/).waitFor();
  expect(await page.locator(".stale").getByRole("link", { name: "hostile" }).isVisible()).toBe(true);
  await page.getByText("live", { exact: true }).waitFor();
  expect(await page.locator(".stale").count()).toBe(0);
});

test("a viewer sees a job and is refused, in a sentence", async () => {
  await ask("/users", { name: "vera", roles: { default: "viewer" } });
  const { path } = (await ask("/users/vera/invitation", {})) as { path: string };
  await ask("/jobs", { script: "x.py", source: "", where: { zone: "none" }, name: "waits" });
  const other = await open(browser, faults);
  await other.goto(SERVER + path);
  await other.getByLabel("New password").fill("a long enough passphrase");
  await other.getByRole("button", { name: "Log in" }).click();
  await other.getByRole("link", { name: "waits" }).click();
  await other.getByRole("heading", { name: "waits" }).waitFor();
  await other.getByRole("button", { name: "Pause" }).click();
  await other.getByRole("alert").filter({ hasText: "does not allow" }).waitFor();
  await other.context().close();
});

test("every view is accessible, light and dark", async () => {
  const link = (await ask("/links", {})) as { path: string };
  const dark = await open(browser, faults, "dark");
  await dark.goto(SERVER + link.path);
  for (const [path, heading] of [
    ["/jobs", "Jobs"],
    ["/new", "New job"],
    ["/compare", "Compare"],
    ["/datasets", "Datasets"],
    ["/models", "Models"],
    ["/workers", "Workers"],
    ["/settings", "Settings"],
  ] as const) {
    for (const one of [page, dark]) {
      await one.goto(SERVER + path);
      await one.getByRole("heading", { name: heading, exact: true, level: 1 }).waitFor();
      await one.locator('[role="status"][aria-label^="Loading"]').first().waitFor({ state: "detached" });
      await expectAccessible(one);
    }
  }
  await page.getByRole("link", { name: "Models" }).click();
  await page.getByRole("heading", { name: "Models", exact: true }).waitFor();
  await page.getByRole("link", { name: "Jobs", exact: true }).click();
  await page.getByRole("link", { name: /^\d+ *failed in 24 h/ }).click();
  await page.getByRole("link", { name: "hostile" }).waitFor();
  await page.getByRole("link", { name: "waits" }).waitFor({ state: "detached" });
});
