"use strict";
// Run by test_toxiproxy_node.sh. CLIENT: the client's package; WORK: a directory; BUILD: where perturb and perturb-proxy are.
const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const { after, before, beforeEach, test } = require("node:test");
const { Toxiproxy } = require(process.env.CLIENT);

const limit = Number(process.env.PERTURB_TEST_TIMEOUT_MS ?? 10000);

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${limit} ms`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// A server on a free port, told by its log.
async function serve(command, flags, environment = {}) {
  const child = spawn(path.join(process.env.BUILD, command[0]), [...command.slice(1), ...flags, "-port", "0"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, LOG_LEVEL: "info", ...environment },
  });
  let log = "";
  const port = await within(new Promise((resolve, reject) => {
    child.stdout.on("data", (bytes) => {
      log += bytes;
      const found = log.match(/"port":"(\d+)"/);
      if (found) resolve(Number(found[1]));
    });
    child.once("exit", (status) => reject(new Error(`it ended with ${status}: ${log}`)));
  }), command.join(" "));
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      child.removeAllListeners("exit");
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      const [status] = await within(ended, "SIGTERM");
      return status;
    },
  };
}

async function freePort() {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

async function dial(address) {
  const at = address.lastIndexOf(":");
  const socket = net.connect(Number(address.slice(at + 1)), "127.0.0.1");
  await within(once(socket, "connect"), `connect to ${address}`);
  socket.setNoDelay(true);
  return socket;
}

// Sends a text and reads as much back; the milliseconds it took.
async function exchange(socket, text) {
  const begun = performance.now();
  let got = "";
  socket.write(text);
  while (got.length < text.length) got += (await within(once(socket, "data"), "echo"))[0];
  assert.equal(got, text);
  return performance.now() - begun;
}

const echo = net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
});
let server, toxiproxy, upstream;

before(async () => {
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  upstream = `localhost:${echo.address().port}`;
  server = await serve(["perturb", "proxy"], []);
  toxiproxy = new Toxiproxy(server.url);
});

after(async () => {
  assert.equal(await server.stop(), 0);
  echo.close();
});

beforeEach(async () => {
  for (const proxy of Object.values(await toxiproxy.getAll())) await proxy.remove();
});

const create = (name) => toxiproxy.createProxy({ name, listen: "localhost:0", upstream });

test("a version that makes clients choose PATCH", async () => {
  assert.match(JSON.parse(await toxiproxy.getVersion()).version, /^2\.\d+\.\d+$/);
});

test("proxies are created, shown, changed and removed", async () => {
  const proxy = await create("one");
  assert.match(proxy.listen, /^127\.0\.0\.1:\d+$/);
  assert.equal(proxy.upstream, upstream);
  assert.equal(proxy.enabled, true);
  assert.deepEqual(Object.keys(await toxiproxy.getAll()), ["one"]);
  const off = await proxy.update({ enabled: false, listen: proxy.listen, upstream });
  assert.equal(off.enabled, false);
  await assert.rejects(dial(proxy.listen), { code: "ECONNREFUSED" });
  const on = await proxy.update({ enabled: true, listen: proxy.listen, upstream });
  assert.equal(on.listen, proxy.listen);
  const socket = await dial(proxy.listen);
  await exchange(socket, "hello");
  socket.destroy();
  await proxy.remove();
  await assert.rejects(toxiproxy.get("one"), /status code 404/);
});

test("errors carry the status, which is all the client tells", async () => {
  await create("one");
  await assert.rejects(create("one"), /status code 409/);
  await assert.rejects(toxiproxy.createProxy({ name: "two", listen: "localhost:0" }), /status code 400/);
  const proxy = await toxiproxy.get("one");
  await assert.rejects(proxy.addToxic({ type: "down", attributes: {} }), /status code 400/);
  await assert.rejects(proxy.addToxic({ type: "latency", stream: "across", attributes: {} }), /status code 400/);
});

test("every toxic of the client's list comes and goes", async () => {
  const proxy = await create("toxics");
  const kinds = {
    latency: { latency: 10, jitter: 5 },
    bandwidth: { rate: 1000 },
    slow_close: { delay: 10 },
    timeout: { timeout: 1000 },
    slicer: { average_size: 100, size_variation: 10, delay: 10 },
    limit_data: { bytes: 1000 },
    reset_peer: { timeout: 1000 },
  };
  for (const [type, attributes] of Object.entries(kinds)) {
    const toxic = await proxy.addToxic({ name: `my ${type}`, type, stream: "upstream", toxicity: 0.5, attributes });
    assert.deepEqual(toxic.toJson(), { name: `my ${type}`, type, stream: "upstream", toxicity: 0.5, attributes });
    const again = await proxy.getToxic(encodeURIComponent(toxic.name));
    assert.deepEqual(again.attributes, attributes);
  }
  await toxiproxy.reset();
  assert.deepEqual((await (await fetch(`${server.url}/proxies/toxics/toxics`)).json()), []);
});

test("a toxic changes key by key", async () => {
  const proxy = await create("change");
  const toxic = await proxy.addToxic({ name: "slow", type: "latency", attributes: { latency: 10, jitter: 5 } });
  const changed = await toxic.update({ ...toxic.toJson(), attributes: { latency: 20 } });
  assert.deepEqual(changed.attributes, { latency: 20, jitter: 5 });
  await toxic.remove();
  await assert.rejects(proxy.getToxic("slow"), /status code 404/);
});

test("populate creates, keeps and replaces", async () => {
  const listen = `127.0.0.1:${await freePort()}`;
  const first = await toxiproxy.populate([{ name: "p", listen, upstream }, { name: "q", listen: "127.0.0.1:0", upstream }]);
  assert.deepEqual(Object.keys(first), ["p", "q"]);
  await first.p.addToxic({ type: "latency", attributes: { latency: 1 } });
  await toxiproxy.populate([{ name: "p", listen, upstream }]);
  assert.equal((await (await fetch(`${server.url}/proxies/p/toxics`)).json()).length, 1);
  await toxiproxy.populate([{ name: "p", listen, upstream: "127.0.0.1:1" }]);
  assert.equal((await (await fetch(`${server.url}/proxies/p/toxics`)).json()).length, 0);
  assert.deepEqual(await toxiproxy.populate([]), {});
});

test("latency is felt by a connection that was open before, and ends", async () => {
  const proxy = await create("slow");
  const socket = await dial(proxy.listen);
  await exchange(socket, "before");
  const toxic = await proxy.addToxic({ type: "latency", attributes: { latency: 100, jitter: 0 } });
  assert.ok((await exchange(socket, "during")) >= 99);
  await toxic.remove();
  await exchange(socket, "after");
  socket.destroy();
});

test("reset_peer resets", async () => {
  const proxy = await create("reset");
  const socket = await dial(proxy.listen);
  await exchange(socket, "before");
  const reset = new Promise((resolve) => socket.once("error", resolve));
  await proxy.addToxic({ type: "reset_peer", attributes: { timeout: 0 } });
  assert.equal((await within(reset, "reset")).code, "ECONNRESET");
});

test("a half-closed connection gets its answer", async () => {
  const proxy = await create("half");
  const socket = await dial(proxy.listen);
  let got = "";
  socket.on("data", (bytes) => (got += bytes));
  socket.end("request");
  await within(once(socket, "end"), "end");
  assert.equal(got, "request");
});

test("the calls of Testcontainers' module", async () => {
  // The image's entry point with its flags, or a configuration file that the module wrote.
  const ports = [await freePort(), await freePort()];
  const config = path.join(process.env.WORK, "tc-toxiproxy.json");
  fs.writeFileSync(config, JSON.stringify([{ name: "redis", listen: `0.0.0.0:${ports[0]}`, upstream }]));
  const image = await serve(["perturb-proxy"], ["-host=0.0.0.0", `-config=${config}`]);
  try {
    const ready = await fetch(`${image.url}/version`);
    assert.equal(ready.status, 200);
    const client = new Toxiproxy(image.url);
    const redis = await client.get("redis");
    assert.equal(redis.enabled, true);
    const web = await client.createProxy({ enabled: true, listen: `0.0.0.0:${ports[1]}`, name: "web", upstream });
    assert.equal(web.listen, `0.0.0.0:${ports[1]}`);
    for (const proxy of [redis, web]) {
      const socket = await dial(proxy.listen);
      await exchange(socket, "through the container's port");
      const down = await proxy.addToxic({ name: "CUT_CONNECTION_DOWNSTREAM", type: "bandwidth", stream: "downstream", toxicity: 1, attributes: { rate: 0 } });
      const up = await proxy.addToxic({ name: "CUT_CONNECTION_UPSTREAM", type: "bandwidth", stream: "upstream", toxicity: 1, attributes: { rate: 0 } });
      let passed = false;
      const seen = once(socket, "data").then(() => (passed = true));
      socket.write("x");
      const direct = await dial(`127.0.0.1:${echo.address().port}`);
      await exchange(direct, "meanwhile");
      direct.destroy();
      assert.equal(passed, false);
      await down.remove();
      await up.remove();
      await within(seen, "what was held");
      await proxy.update({ enabled: false, listen: proxy.listen, upstream: proxy.upstream });
      await assert.rejects(dial(proxy.listen), { code: "ECONNREFUSED" });
      await proxy.update({ enabled: true, listen: proxy.listen, upstream: proxy.upstream });
      socket.destroy();
      (await dial(proxy.listen)).destroy();
    }
  } finally {
    assert.equal(await image.stop(), 0);
  }
});
