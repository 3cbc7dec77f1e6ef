// Server-sent events over fetch. Unlike EventSource it sees heartbeats, so a connection that died without a word is noticed, it tells
// a refusal from a loss, and it resumes where it was after any of them.
//
//   connecting -> live -> reconnecting -> live ... -> ended | refused
//
// A browser gives a site six connections, all its tabs together. So no more than SLOTS streams stay open at a time: one that finds no
// slot reads what there is, closes, and comes again a moment later. Streams of a tab that nobody sees are closed, and Halt closes those
// of its own tab while it asks (`pause_all`): there is always a connection for it.

const SILENCE_MS = 40000; // the service sends a heartbeat every 15 s
const WAITS_MS = [250, 500, 1000, 2000, 4000];
const HIDDEN_MS = 5000;
const SLOTS = 4;
const BRIEF_MS = 300;

const open_streams = new Set();

export function pause_all(is_paused) {
  open_streams.forEach((stream) => stream.pause(is_paused));
}

// Takes one of the slots that all tabs share: returns a function that gives it back; null when there is none.
async function take_slot() {
  if (!navigator.locks) return () => {};
  for (let i = 0; i < SLOTS; i++) {
    const give_back = await new Promise((resolve) => navigator.locks.request("stream-" + i, { ifAvailable: true },
      (lock) => (lock ? new Promise((release) => resolve(release)) : resolve(null))).catch(() => resolve(null)));
    if (give_back) return give_back;
  }
  return null;
}

export class Stream {
  // take(kind, text, id) for every event; tell(state, detail) for every change of state.
  constructor(where, take, tell) {
    this.where = where;
    this.take = take;
    this.tell = (state, detail) => { // changes only
      if (state === this.state) return;
      this.state = state;
      tell(state, detail);
    };
    this.id = "";
    this.failures = 0;
    this.is_closed = false;
    this.is_paused = false;
    this.on_visibility = () => this.watch_visibility();
    document.addEventListener("visibilitychange", this.on_visibility);
    open_streams.add(this);
    this.run();
  }

  close() {
    this.is_closed = true;
    open_streams.delete(this);
    document.removeEventListener("visibilitychange", this.on_visibility);
    clearTimeout(this.hide_timer);
    this.drop();
  }

  pause(is_paused) {
    this.is_paused = is_paused;
    if (is_paused) this.drop();
    else this.wake?.();
  }

  watch_visibility() {
    clearTimeout(this.hide_timer);
    if (document.visibilityState === "hidden") this.hide_timer = setTimeout(() => this.pause(true), HIDDEN_MS);
    else if (this.is_paused) this.pause(false);
  }

  drop() {
    this.abort?.abort();
    this.wake?.();
  }

  sleep(wait_ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait_ms);
      this.wake = () => { clearTimeout(timer); resolve(); };
    });
  }

  async run() {
    this.tell("connecting");
    while (!this.is_closed) {
      const give_back = await take_slot();
      this.is_brief = !give_back;
      try {
        await this.read();
      } catch (error) {
        if (error.refused) return this.end("refused", error);
        this.failures += !(this.is_brief && this.is_read);
      } finally {
        give_back?.();
      }
      if (this.is_closed) return;
      if (!this.is_brief || !this.is_read) this.tell("reconnecting");
      while (this.is_paused && !this.is_closed) await this.sleep(60000);
      await this.sleep(WAITS_MS[Math.min(this.failures, WAITS_MS.length - 1)]);
    }
  }

  end(state, detail) {
    this.close();
    this.tell(state, detail);
  }

  async read() {
    this.abort = new AbortController();
    this.is_read = false;
    const headers = { Accept: "text/event-stream" };
    if (this.id) headers["Last-Event-ID"] = this.id;
    const response = await fetch(this.where, { headers, signal: this.abort.signal, credentials: "same-origin", cache: "no-store" });
    if (!response.ok) {
      const error = new Error("HTTP " + response.status);
      error.status = response.status;
      error.refused = [400, 401, 403, 404, 410].includes(response.status);
      throw error;
    }
    this.failures = 0;
    this.is_read = true;
    this.tell("live");
    const brief = this.is_brief ? setTimeout(() => this.abort.abort(), BRIEF_MS) : null;
    try {
      await this.read_lines(response.body.getReader());
    } finally {
      clearTimeout(brief);
    }
  }

  async read_lines(reader) {
    const decoder = new TextDecoder();
    let rest = "", silence = null;
    const arm = () => {
      clearTimeout(silence);
      silence = setTimeout(() => this.abort.abort(), SILENCE_MS);
    };
    this.message = { kind: "message", data: [] };
    try {
      for (;;) {
        arm();
        const { done, value } = await reader.read();
        if (done || this.is_closed) return;
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop();
        for (const line of lines) if (!this.is_closed) this.line(line.endsWith("\r") ? line.slice(0, -1) : line);
      }
    } finally {
      clearTimeout(silence);
    }
  }

  line(line) {
    if (line === "") return this.dispatch();
    if (line.startsWith(":")) return;
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") this.message.data.push(value);
    else if (name === "event") this.message.kind = value;
    else if (name === "id") this.message.id = value;
  }

  dispatch() {
    const { kind, data, id } = this.message;
    this.message = { kind: "message", data: [] };
    if (id !== undefined) this.id = id;
    if (kind === "end") return this.end("ended");
    if (data.length) this.take(kind, data.join("\n"), this.id);
  }
}
