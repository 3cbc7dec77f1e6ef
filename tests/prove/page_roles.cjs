"use strict";
// Run by test_page_roles.sh: the page where tokens are in use. Who may not do a thing is not offered it, and nobody stays in whose
// session is over. Everything by keyboard alone.
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { after, before, test } = require("node:test");
const { Browser, SHOP, Service, until } = require("../support/page.cjs");

const AXE = fs.readFileSync(path.join(process.env.MODULES, "axe-core", "axe.min.js"), "utf8");
const VIEWS = ["now", "playbooks", "playbooks/shop.yaml", "schedules", "history", "trends", "findings", "targets", "gamedays"];
const DAY = SHOP + "gameday:\n  roles: {commander: ada}\n  checklist: [Everybody knows]\n";

let service, browser, day;
const token = {};

before(async () => {
  service = await Service.start({ "shop.yaml": SHOP, "day.yaml": DAY });
  day = (await service.api("POST", "/gamedays", { playbook: "day.yaml" })).body.id;
  await service.api("POST", "/schedules", { name: "weekly", playbook: "shop.yaml", cron: "30 9 * * mon" });
  for (const role of ["viewer", "operator", "admin"]) token[role] = /\bptb_\w+/.exec(service.tokens("add", `a-${role}`, "--role", role))[0];
  browser = await Browser.start();
});

after(async () => {
  await browser?.stop();
  await service?.stop();
});

async function settled(page) {
  await page.locator("main h1").first().waitFor();
  await until("the view has loaded", () => page.evaluate(() => !document.querySelector("main .wait")));
}

async function go(page, hash) {
  await page.goto(`${service.base}/#/${hash}`);
  await settled(page);
}

// The token field has the focus when the view is shown.
async function type_token(page, secret) {
  await until("the field has the focus", () => page.evaluate(() => document.activeElement.name === "token"));
  await page.keyboard.type(secret);
  await page.keyboard.press("Enter");
}

async function signed_in(role, hash = "now", options = {}) {
  const page = await browser.open(`${service.base}/#/${hash}`, options);
  await type_token(page, token[role]);
  await page.locator("#who", { hasText: `a-${role} \u00b7 ${role}` }).waitFor({ state: "attached" });
  await settled(page);
  return page;
}

// By Tab alone, from where the focus is; false when it went around without finding it.
async function tab_to(page, id) {
  for (let i = 0; i < 60; i++) {
    if (await page.evaluate(() => document.activeElement.id) === id) return true;
    await page.keyboard.press("Tab");
  }
  return false;
}

const buttons = (page) => page.evaluate(() => [...document.querySelectorAll("main button")].filter((one) => one.checkVisibility() && !one.disabled).map((one) => one.textContent.trim()));

test("a wrong token is refused in words, the right one leads to where the person wanted to go", async () => {
  const page = await browser.open(`${service.base}/#/schedules`);
  await type_token(page, "ptb_of_nobody");
  await page.locator(".problem").getByText("the token is not known here").first().waitFor();
  assert.equal(await page.title(), "Sign in \u00b7 perturb");
  assert.ok(await page.locator("#who").isHidden());
  await page.getByLabel("Token").fill(token.viewer);
  await page.keyboard.press("Enter");
  await page.locator("h1", { hasText: "Schedules" }).waitFor();
  await until("the view has the focus", () => page.evaluate(() => document.activeElement.tagName === "H1"));
  assert.ok(!(await page.evaluate(() => document.cookie)).includes("pts_"), "no script can read the session");
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

const OFFERS = {
  viewer: { "playbooks/shop.yaml": ["Check"], schedules: [], gamedays: [], findings: [] },
  operator: { "playbooks/shop.yaml": ["Start", "Dry run", "Check"], schedules: ["Pause all", "Skip next weekly", "Pause weekly", "Delete weekly"], gamedays: ["Prepare"], findings: [] },
  admin: { "playbooks/shop.yaml": ["Start", "Dry run", "Check", "Edit"], schedules: ["Pause all", "Skip next weekly", "Pause weekly", "Delete weekly"], gamedays: ["Prepare"], findings: [] }
};

for (const role of ["viewer", "operator", "admin"])
  test(`the ${role} is offered what he may do, and Halt`, async () => {
    const page = await signed_in(role);
    for (const [hash, wanted] of Object.entries(OFFERS[role])) {
      await go(page, hash);
      await until(`${hash} offers ${wanted}`, async () => JSON.stringify(await buttons(page)) === JSON.stringify(wanted)).catch(async (error) => { throw new Error(`${error.message}; it offers ${await buttons(page)}`); });
      if (role === "viewer" && hash !== "findings") await page.getByText(/needs the role operator; you are signed in as viewer/).waitFor();
      assert.ok(await page.locator("#halt").isEnabled());
    }
    await go(page, `gamedays/${day}`);
    assert.equal(await page.getByLabel("Everybody knows").isDisabled(), role === "viewer");
    assert.equal(await page.getByRole("button", { name: "Go", exact: true }).count(), role === "viewer" ? 0 : 1);
    assert.deepEqual(page.faults, []);
    await page.context().close();
  });

test("a viewer halts by keyboard; only an operator resumes", async () => {
  const page = await signed_in("viewer");
  await page.evaluate(() => document.activeElement.blur());
  assert.ok(await tab_to(page, "halt"));
  await page.keyboard.press("Enter");
  await page.locator("#halt-state.done").waitFor();
  await page.locator("#lever", { hasText: "An operator resumes." }).waitFor();
  assert.equal(await page.locator("#resume").count(), 0);
  const other = await signed_in("operator");
  await other.locator("#resume").focus();
  await other.keyboard.press("Enter");
  await until("the lever is back", () => other.locator("#lever").isHidden());
  await until("the other page knows", () => page.locator("#lever").isHidden());
  await page.context().close();
  await other.context().close();
});

test("signing out by keyboard ends the session for every tab of the browser", async () => {
  const page = await signed_in("operator", "history");
  const tab = await page.context().newPage();
  await tab.goto(`${service.base}/#/trends`);
  await tab.locator("h1", { hasText: "Trends" }).waitFor();
  await page.bringToFront();
  await page.evaluate(() => document.activeElement.blur());
  assert.ok(await tab_to(page, "sign-out"));
  const gone = page.waitForResponse((response) => response.url().endsWith("/session") && response.request().method() === "DELETE");
  await page.keyboard.press("Enter");
  assert.equal((await gone).status(), 204);
  await page.getByText("You are signed out.").waitFor();
  assert.equal((await page.context().cookies()).length, 0);
  await tab.bringToFront();
  await tab.getByText("Your session is over").waitFor();
  assert.ok(await page.locator("#who").isHidden());
  await page.context().close();
});

test("a session that is over, and a token that is taken away, lead back to the sign-in and then to the same view", async () => {
  const page = await signed_in("operator", "findings");
  const listen = new URL(service.base).host, file = path.join(service.home, "data", "sessions.json");
  await service.stop();
  const kept = JSON.parse(fs.readFileSync(file, "utf8"));
  kept.sessions.forEach((one) => { one.expires = 1; });
  fs.writeFileSync(file, JSON.stringify(kept));
  await service.run(listen);
  await page.getByText("Your session is over").waitFor();
  await type_token(page, token.operator);
  await page.locator("h1", { hasText: "Findings" }).waitFor();
  service.tokens("remove", "a-operator");
  await page.getByText("Your session is over").waitFor();
  await type_token(page, token.operator);
  await page.locator(".problem").getByText("the token is not known here").first().waitFor();
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

for (const scheme of ["light", "dark"])
  test(`axe finds nothing serious where somebody signs in or may only watch, ${scheme}`, async () => {
    const page = await browser.open(`${service.base}/#/now`, { colorScheme: scheme });
    const session = await page.context().newCDPSession(page);
    const wrong = [];
    const judge = async (what) => {
      await session.send("Runtime.evaluate", { expression: AXE });
      const found = await page.evaluate(() => axe.run(document, { iframes: false }));
      for (const one of found.violations.filter((each) => ["serious", "critical"].includes(each.impact))) wrong.push(`${what}: ${one.id} ${one.nodes.map((node) => node.target).slice(0, 3)}`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth + 1), `${what} is wider than the screen`);
    };
    await page.getByLabel("Token").waitFor();
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 860 });
      await judge(`sign-in at ${width}`);
    }
    await type_token(page, token.viewer);
    await page.locator("#sign-out").waitFor();
    for (const width of [1920, 1280, 390]) {
      await page.setViewportSize({ width, height: 860 });
      for (const hash of VIEWS) {
        await go(page, hash);
        await judge(`${hash} at ${width}`);
      }
    }
    assert.deepEqual(wrong, []);
    await page.context().close();
  });
