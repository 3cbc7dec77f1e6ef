"use strict";
// Run by test_page.sh: a person starts a playbook on the page, watches it, and halts it while its fault acts.
const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { Browser, SHOP, Service, until } = require("../support/page.cjs");

let service, browser;

before(async () => {
  service = await Service.start({ "shop.yaml": SHOP });
  browser = await Browser.start();
});

after(async () => {
  await browser?.stop();
  await service?.stop();
});

const lines = (id) => service.events(id);

test("start, watch and halt on the page", async (t) => {
  const page = await browser.open(`${service.base}/#/playbooks/shop.yaml`);
  await page.getByRole("button", { name: "Check" }).click();
  await page.getByText("Sound: nothing to mend").waitFor();
  await page.getByRole("button", { name: "Dry run" }).click();
  await page.getByText(/target store +\S*sample-store --port \d+/).first().waitFor();
  await page.getByLabel("slow", { exact: true }).fill("150ms");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await until("the run is shown", async () => {
    const trouble = page.locator("main .problem");
    if (await trouble.count()) throw new Error(await trouble.first().textContent());
    return page.url().includes("#/now/");
  });
  const id = decodeURIComponent(page.url().split("#/now/")[1]);
  await page.locator(".connection[data-state=live]").waitFor();
  await until("samples are drawn", () => page.evaluate(() => Number(document.body.dataset.drawn) > 5));
  await page.locator(".faults [data-level=armed]").waitFor();
  await until("the chart shows something", () => page.evaluate(() => {
    const canvas = document.querySelector(".chart canvas");
    return canvas && canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((one) => one !== 0);
  }));
  assert.ok(lines(id).some((one) => one.kind === "fault_armed"));
  const pressed = process.hrtime.bigint();
  await page.getByRole("button", { name: "Halt", exact: true }).click();
  await page.locator("#halt-state.done").waitFor();
  await page.locator("#lever").getByText("The safety lever is engaged.").waitFor();
  const released = await until("the fault is released", () => lines(id).find((one) => one.kind === "fault_released"));
  const took_ms = Number(BigInt(released.ns) - pressed) / 1e6;
  t.diagnostic(`from the press to the release: ${took_ms.toFixed(0)} ms`);
  assert.ok(took_ms < 1000, "from the press to the release");
  await page.locator(".ending .badge").waitFor();
  assert.match(await page.locator(".ending").textContent(), /aborted/);
  assert.deepEqual(page.faults, []);
  await page.getByRole("link", { name: "Open the report" }).click();
  await page.frameLocator("iframe.report").locator("h1").getByText("The shop is slow for a while").waitFor();
  assert.ok(await page.locator("#halt").isVisible(), "Halt is on every view");
  await page.getByRole("button", { name: "Resume", exact: true }).click();
  await until("the lever is back", () => page.locator("#lever").isHidden());
  assert.deepEqual(page.faults, []);
});
