import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, chromium, type Page } from "playwright-core";
import { expect } from "vitest";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run this with pytest tests/browser`);
  return value;
}

export const SERVER = variable("HEADWAY_SERVER_URL");

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: variable("CHROMIUM"), args: FLAGS });
}

/** A tab that notes whatever goes wrong in it, and whatever leaves the server. */
export async function open(browser: Browser, faults: string[], colours: "light" | "dark" = "light"): Promise<Page> {
  const context = await browser.newContext({ colorScheme: colours, viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => message.type() === "error" && /content security|react/i.test(message.text()) && faults.push(message.text()));
  page.on("request", (request) => !/^(blob|data):/.test(request.url()) && !request.url().startsWith(SERVER) && faults.push(request.url()));
  page.on("dialog", (dialog) => faults.push(`dialog: ${dialog.message()}`));
  return page;
}

interface Violation {
  id: string;
  impact: string;
  nodes: { html: string }[];
}

/** Fails for anything serious that axe finds on the page. */
export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(AXE);
  const violations = (await page.evaluate(
    "axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations)",
  )) as Violation[];
  const serious = violations.filter((one) => one.impact === "serious" || one.impact === "critical");
  expect(serious.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`)).toEqual([]);
}

/** A request with the token of the server's home. */
export async function ask(path: string, body?: unknown, method = body === undefined ? "GET" : "POST"): Promise<unknown> {
  const headers = { Authorization: `Bearer ${variable("HEADWAY_TOKEN")}`, "Content-Type": "application/json" };
  const answer = await fetch(`${SERVER}/api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.status === 204 ? null : answer.json();
}
