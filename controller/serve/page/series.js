// The last ten minutes of a live run, in bins. A ring of typed arrays: nothing is allocated while it runs.
//
// A bin is told when it passed and may be told again when a late answer changed it; `dirty` is the first bin that changed since it was
// last drawn.

const KEPT = 6000;

export class Series {
  constructor(names, bin_s = 0.1) {
    this.bin_s = bin_s;
    this.first = -1; // number of the first bin told; -1 before any
    this.last = -1;
    this.dirty = Infinity;
    this.lines = new Map(names.map((name) => [name, new Float32Array(KEPT).fill(NaN)]));
  }

  get oldest() {
    return Math.max(this.first, this.last - KEPT + 1);
  }

  // Makes room up to this bin; false when it is too old to be kept.
  reach(bin) {
    if (this.first < 0) this.first = this.last = bin;
    if (bin < this.first) this.first = bin;
    if (bin <= this.last - KEPT) return false;
    const from = Math.max(this.last + 1, bin - KEPT + 1);
    for (let i = from; i <= bin; i++) for (const line of this.lines.values()) line[i % KEPT] = NaN;
    if (bin > this.last) this.last = bin;
    return true;
  }

  put(name, t_s, value) {
    const bin = Math.round(t_s / this.bin_s);
    if (!this.reach(bin)) return;
    this.lines.get(name)[bin % KEPT] = typeof value === "number" ? value : NaN;
    if (bin < this.dirty) this.dirty = bin;
  }

  at(name, bin) {
    return bin < this.oldest || bin > this.last ? NaN : this.lines.get(name)[bin % KEPT];
  }

  // [least, most] of a line over bins; NaN when there is none.
  range(name, from, to, into) {
    const line = this.lines.get(name);
    let least = Infinity, most = -Infinity;
    for (let bin = Math.max(from, this.oldest); bin <= Math.min(to, this.last); bin++) {
      const value = line[bin % KEPT];
      if (value < least) least = value;
      if (value > most) most = value;
    }
    into[0] = least <= most ? least : NaN;
    into[1] = least <= most ? most : NaN;
  }

  mean(name, from, to) {
    let sum = 0, many = 0;
    for (let bin = Math.max(from, this.oldest); bin <= Math.min(to, this.last); bin++) {
      const value = this.at(name, bin);
      if (!Number.isNaN(value)) {
        sum += value;
        many++;
      }
    }
    return many ? sum / many : NaN;
  }
}
