// A live chart on a canvas. Per frame it draws the columns that changed and no others; everything is drawn anew only when an axis, a
// shade, the size or the colours change. Where a column holds several bins its least and its most are drawn.

import { h, say } from "/dom.js";
import { seconds, share } from "/format.js";

const SPANS_S = [30, 60, 120, 300, 600];
const TOP = 10, RIGHT = 10;
const WALL_PX = 1900; // from there on everything is larger, as in page.css
const SLIDE = 0.1; // a full window moves on by so much of itself at a time

let palette = null;
function colour(name) {
  if (!palette) {
    const style = getComputedStyle(document.documentElement);
    palette = new Map();
    for (const one of ["line", "line-2", "line-3", "rule", "soft", "base", "fault", "bad", "band-ink", "hold-ink", "card", "unsure"])
      palette.set(one, style.getPropertyValue("--" + one).trim());
  }
  return palette.get(name);
}

const charts = new Set();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  palette = null;
  charts.forEach((chart) => { chart.again(); chart.ask(); });
});

// The least round number (1, 2, 5 times a power of ten) that is no less than this.
function round_up(value) {
  const power = Math.pow(10, Math.floor(Math.log10(value)));
  const lead = value / power;
  return (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10) * power;
}

export class Chart {
  // options: { title, unit: "share"|"seconds", lines: [{ name, colour, label }] }
  // ask: wants a frame, for what no sample brings about: another size, other colours, coming into view
  constructor(series, shades, options, ask) {
    this.series = series;
    this.shades = shades; // { spans: [{ from_s, to_s, kind }], instants: [{ t_s, kind }] }
    this.options = options;
    this.ask = ask;
    this.top = options.unit === "share" ? 1.05 : 0;
    this.from_s = 0;
    this.span_s = SPANS_S[0];
    this.whole = true;
    this.is_seen = true;
    this.pair = [0, 0];
    this.scale();
    this.build();
    charts.add(this);
  }

  build() {
    this.canvas = h("canvas", { role: "img", "aria-label": this.options.title });
    this.readout = h("span", { class: "readout" });
    this.element = h("figure", { class: "chart" },
      h("figcaption", null, h("h3", null, this.options.title), this.legend(), this.readout), h("div", { class: "plot" }, this.canvas));
    this.context = this.canvas.getContext("2d");
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.canvas.parentElement);
    this.views = new IntersectionObserver((entries) => {
      this.is_seen = entries.at(-1).isIntersecting;
      this.ask();
    });
    this.views.observe(this.canvas);
  }

  legend() {
    if (this.options.lines.length < 2) return null;
    return h("span", { class: "keys" }, this.options.lines.map((line) => h("span", { class: "key key-" + line.colour }, line.label)));
  }

  close() {
    this.sizes.disconnect();
    this.views.disconnect();
    charts.delete(this);
  }

  again() {
    this.whole = true;
  }

  scale() {
    const factor = window.innerWidth >= WALL_PX ? 1.5 : 1;
    this.gutter = 58 * factor;
    this.bottom = 22 * factor;
    this.font = Math.round(11 * factor) + "px system-ui, sans-serif";
    this.stroke = 1.6 * factor;
  }

  resize() {
    this.scale();
    const box = this.canvas.parentElement.getBoundingClientRect();
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.width = Math.floor(box.width);
    this.height = Math.floor(box.height);
    if (this.width < 2 * this.gutter || this.height < 40) return;
    this.canvas.width = this.width * ratio;
    this.canvas.height = this.height * ratio;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.whole = true;
    this.ask();
  }

  x(t_s) {
    return this.gutter + (t_s - this.from_s) / this.span_s * (this.width - this.gutter - RIGHT);
  }

  y(value) {
    return TOP + (1 - Math.min(value, this.top) / this.top) * (this.height - TOP - this.bottom);
  }

  // The window of time: it grows with the run until it is ten minutes wide, then it slides.
  fit_time() {
    const start_s = this.series.first * this.series.bin_s;
    const end_s = (this.series.last + 1) * this.series.bin_s;
    const span_s = SPANS_S.find((one) => end_s - start_s <= one) || SPANS_S.at(-1);
    let from_s = this.from_s;
    if (span_s !== this.span_s || end_s - start_s <= span_s) from_s = Math.floor(start_s);
    if (end_s > from_s + span_s) from_s = Math.ceil((end_s - span_s * (1 - SLIDE)) / (span_s * SLIDE)) * span_s * SLIDE;
    if (from_s === this.from_s && span_s === this.span_s) return;
    this.from_s = from_s;
    this.span_s = span_s;
    this.whole = true;
  }

  // Lengths have no natural top: it follows the most that is shown, up at once, down when it is drawn anew anyway.
  fit_top(from_bin) {
    if (this.options.unit === "share") return;
    let most = 0;
    const begin = this.whole ? Math.floor(this.from_s / this.series.bin_s) : from_bin;
    for (const line of this.options.lines) {
      this.series.range(line.name, begin, this.series.last, this.pair);
      if (this.pair[1] > most) most = this.pair[1];
    }
    const top = most > 0 ? round_up(most * 1.02) : 0.01;
    if (top > this.top || (this.whole && top < this.top)) {
      this.top = top;
      this.whole = true;
    }
  }

  // Called once a frame. True when something was drawn.
  draw(dirty_bin) {
    if (!this.width || this.series.first < 0) return false;
    if (dirty_bin === Infinity && !this.whole) return false;
    if (!this.is_seen) {
      this.whole = true; // whatever changed meanwhile is drawn when it comes into view
      return false;
    }
    this.fit_time();
    this.fit_top(dirty_bin);
    const from_x = this.whole ? 0 : Math.max(this.gutter, Math.floor(this.x((dirty_bin - 1) * this.series.bin_s)) - 2);
    this.paint(from_x);
    this.whole = false;
    return true;
  }

  paint(from_x) {
    const context = this.context;
    const right = this.width - RIGHT;
    context.save();
    context.beginPath();
    context.rect(from_x, 0, this.width - from_x, this.height);
    context.clip();
    context.clearRect(from_x, 0, this.width - from_x, this.height);
    this.paint_shades(from_x, right);
    this.paint_grid(from_x, right);
    context.beginPath();
    context.rect(Math.max(this.gutter, from_x), 0, right - Math.max(this.gutter, from_x), this.height);
    context.clip();
    for (const line of this.options.lines) this.paint_line(line, Math.max(from_x, this.gutter));
    this.paint_instants();
    context.restore();
  }

  paint_shades(from_x, right) {
    for (const span of this.shades.spans) {
      const left = Math.max(this.gutter, from_x, this.x(span.from_s));
      const end = Math.min(right, span.to_s === null ? this.x((this.series.last + 1) * this.series.bin_s) : this.x(span.to_s));
      if (end <= left) continue;
      this.context.fillStyle = colour(span.kind);
      this.context.fillRect(left, TOP, end - left, this.height - TOP - this.bottom);
    }
  }

  paint_grid(from_x, right) {
    const context = this.context;
    const steps = this.options.unit === "share" ? [0, 0.5, 1] : [0, this.top / 2, this.top];
    context.strokeStyle = colour("rule");
    context.fillStyle = colour("soft");
    context.lineWidth = 1;
    context.font = this.font;
    context.textBaseline = "middle";
    context.beginPath();
    for (const value of steps) {
      const y = Math.round(this.y(value)) + 0.5;
      context.moveTo(Math.max(this.gutter, from_x), y);
      context.lineTo(right, y);
    }
    context.stroke();
    this.paint_times(from_x, right);
    if (from_x >= this.gutter) return;
    context.textAlign = "right";
    for (const value of steps) context.fillText(this.options.unit === "share" ? share(value) : seconds(value), this.gutter - 8, this.y(value));
  }

  paint_times(from_x, right) {
    const context = this.context;
    const rough_s = this.span_s * this.gutter * 1.5 / (right - this.gutter);
    const step_s = [1, 2, 5, 10, 15, 30, 60, 120, 300].find((one) => one >= rough_s) || 300;
    context.textAlign = "center";
    for (let t_s = Math.ceil(this.from_s / step_s) * step_s; t_s <= this.from_s + this.span_s; t_s += step_s) {
      const x = this.x(t_s);
      if (x < from_x - 60 || x > right - this.bottom || x < this.gutter) continue;
      context.fillText(t_s >= 120 ? Math.floor(t_s / 60) + ":" + String(t_s % 60).padStart(2, "0") : t_s + " s", x, this.height - this.bottom / 2);
    }
  }

  paint_line(line, from_x) {
    const context = this.context, series = this.series, bin_s = series.bin_s;
    const per_px = this.span_s / bin_s / (this.width - this.gutter - RIGHT);
    const step = Math.max(1, Math.floor(per_px));
    const back = Math.floor(((from_x - this.gutter) / (this.width - this.gutter - RIGHT) * this.span_s + this.from_s) / bin_s) - 2 * step;
    const begin = Math.max(series.oldest, Math.floor(Math.max(back, this.from_s / bin_s) / step) * step);
    let is_down = false;
    context.strokeStyle = colour(line.colour);
    context.lineWidth = this.stroke;
    context.lineJoin = "round";
    context.beginPath();
    for (let bin = begin; bin <= series.last; bin += step) {
      series.range(line.name, bin, bin + step - 1, this.pair);
      if (Number.isNaN(this.pair[0])) {
        is_down = false;
        continue;
      }
      const x = this.x((bin + step / 2) * bin_s);
      if (is_down) context.lineTo(x, this.y(this.pair[1]));
      else context.moveTo(x, this.y(this.pair[1]));
      if (!is_down) context.lineTo(x + 0.5, this.y(this.pair[1]));
      if (this.pair[0] !== this.pair[1]) context.lineTo(x, this.y(this.pair[0]));
      is_down = true;
    }
    context.stroke();
  }

  paint_instants() {
    const context = this.context;
    for (const instant of this.shades.instants) {
      const x = Math.round(this.x(instant.t_s)) + 0.5;
      context.strokeStyle = colour(instant.kind);
      context.setLineDash([4, 3]);
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x, TOP);
      context.lineTo(x, this.height - this.bottom);
      context.stroke();
    }
    context.setLineDash([]);
  }

  // In words, for those who do not see it; written seldom.
  describe(text, short) {
    if (this.canvas.getAttribute("aria-label") !== text) this.canvas.setAttribute("aria-label", text);
    say(this.readout, short);
  }
}
