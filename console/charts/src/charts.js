// Charts as SVG: one set for the console and for reports, without dependencies. Draws what it is given and never
// invents a value: null is a gap, and a point between two gaps is a dot; undefined says that nothing was measured at
// that x, and the line goes on. Makes no request, writes text only as text, and works under `script-src 'self'; style-src 'self'`. Needs charts.css beside it.
//
//   const chart = Charts.line(element, {
//     x: [10, 20, 40], series: [{ name: "p99", values: [80, null, 95], tone: "1", points: true }],
//     xLabel: "visitors", yLabel: "load time", yFormat: Charts.ms, marks: [{ y: 500, label: "objective", tone: "bad" }],
//   });
//   chart.update(options);                          // the same form; drawn with the next frame
//   Charts.spark(element, [3, 4, null, 9], { tone: "1" });
//
// x ascends. tone: "1" to "6", "bad" or "muted". Beyond that, all optional: series: dashed, points; chart: xFormat, yFormat,
// xLog, xMin, xMax (ends of the axis), yLog, yMax (its top; what is higher is cut off), area, gutter (room left of the
// axis at least, px: charts below one another line up), height (px), noValue (the tooltip's word for null),
// label (what the chart is, for those who do not see it), xTime (x is seconds: ticks at whole minutes), xTick (a shorter
// xFormat for the axis), yWhole (what is counted has no halves),
// marks: [{ x or y, label, tone }], bands: [{ from, to, label, tone }] (x; a missing end is the chart's).
(() => {
  "use strict";
  const NS = "http://www.w3.org/2000/svg";
  const FONT = 11, LINE = 15;
  const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  const ruler = document.createElement("canvas").getContext("2d");
  let made = 0;

  // ---- numbers in words

  const formats = [0, 1, 2].map((digits) => new Intl.NumberFormat("en", { maximumFractionDigits: digits }));
  const grouped = (value, digits) => formats[digits].format(value);
  const digitsOf = (value) => { const size = Math.abs(value); return size >= 100 ? 0 : size >= 10 ? 1 : 2; };
  /** 1,280 and 0.25 and 1.2 M. */
  const number = (value) => Math.abs(value) >= 1e6 ? `${grouped(value / 1e6, 1)} M` : grouped(value, digitsOf(value));
  /** Milliseconds: 12 ms, 2.4 s. */
  const ms = (value) => !value ? "0" : Math.abs(value) < 999.5 ? `${grouped(value, value < 0.95 ? 2 : value < 10 ? 1 : 0)} ms` : `${grouped(value / 1000, value < 1e5 ? 2 : 0)} s`;
  /** A share: 0.015 is 1.5 %. */
  const percent = (value) => `${grouped(value * 100, digitsOf(value * 100))} %`;
  /** Bytes: 1.5 MiB. */
  const bytes = (value) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = 0;
    for (; Math.abs(value) >= 1024 && at < 4; at += 1) value /= 1024;
    return `${grouped(value, at ? digitsOf(value) : 0)} ${units[at]}`;
  };
  /** Seconds as a clock shows them: 0:05, 12:00, 1:00:00. */
  const clock = (value) => {
    const whole = Math.round(Math.abs(value)), two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return `${value < 0 && whole ? "\u2212" : ""}${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}`;
  };

  // ---- scales

  const seen = (value) => typeof value === "number" && Number.isFinite(value);
  const width = (text, weight = "") => { ruler.font = `${weight} ${FONT}px system-ui, sans-serif`; return ruler.measureText(text).width; };

  function stepOf(rough, time) {
    if (time) return TIME_STEPS.find((step) => step >= rough) ?? Math.ceil(rough / 86400) * 86400;
    const ten = 10 ** Math.floor(Math.log10(rough));
    return ten * [1, 2, 5, 10].find((n) => n * ten >= rough * 0.999);
  }

  function evenTicks(low, high, count, time) {
    const step = stepOf((high - low) / Math.max(count, 1) || 1, time);
    const found = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) found.push(Number((n * step).toPrecision(12)));
    return found;
  }

  function logTicks(low, high, count) {
    for (const steps of [[1, 2, 5], [1, 3], [1]]) {
      const found = [];
      for (let ten = Math.floor(Math.log10(low)); ten <= Math.log10(high); ten += 1) {
        for (const n of steps) {
          const value = Number((n * 10 ** ten).toPrecision(12));
          if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
        }
      }
      if (found.length <= Math.max(count, 2) || steps.length === 1) return found.length > 1 ? found : evenTicks(low, high, count);
    }
    return [];
  }

  function scale(low, high, from, to, log) {
    const of = log ? (value) => Math.log10(Math.max(value, low)) : (value) => value;
    const start = of(low), span = of(high) - start || 1;
    return (value) => from + ((of(value) - start) / span) * (to - from);
  }

  function xRange(options) {
    const x = options.x ?? [];
    let low = options.xMin ?? (x.length ? x[0] : 0), high = options.xMax ?? (x.length ? x[x.length - 1] : 1);
    const log = options.xLog && low > 0;
    if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 1, high + 1];
    return { low, high, log };
  }

  /** From nought (or the power below, on a log scale) to a round number above all that is shown. */
  function yRange(options, shown, count) {
    let low = Infinity, high = -Infinity;
    for (const { values } of shown) {
      for (const value of values) {
        if (!seen(value) || (options.yLog && value <= 0)) continue;
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    const empty = low > high;
    if (empty) [low, high] = options.yLog ? [1, 10] : [0, 1];
    // An objective is shown where it is, unless that would press the curves flat; then an arrow points to it.
    for (const { y } of options.marks ?? []) {
      if (seen(y) && (empty || options.yLog || y < high * 3) && !(options.yLog && y <= 0)) [low, high] = [Math.min(low, y), Math.max(high, y)];
    }
    if (options.yLog) {
      const below = 10 ** Math.floor(Math.log10(low)), above = 10 ** Math.floor(Math.log10(high));
      low = below * ([5, 2, 1].find((n) => n * below <= low) ?? 1);
      high = options.yMax ?? above * ([1, 2, 5].find((n) => n * above >= high) ?? 10);
      if (low >= high) low = high / 10;
      return { low, high, log: true, empty, ticks: logTicks(low, high, count + 2) };
    }
    low = Math.min(low, 0);
    if (seen(options.yMax)) high = options.yMax;
    if (low >= high) high = low + 1;
    const step = Math.max(stepOf((high - low) / Math.max(count, 1)), options.yWhole ? 1 : 0);
    if (!seen(options.yMax)) high = Math.ceil(high / step - 1e-9) * step;
    low = Math.floor(low / step + 1e-9) * step;
    return { low, high, log: false, empty, ticks: evenTicks(low, high, Math.round((high - low) / step)) };
  }

  // ---- marks on paper

  function svg(name, attributes, text) {
    const element = document.createElementNS(NS, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function html(name, className, text) {
    const element = document.createElement(name);
    element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  const tone = (item) => `chart-tone-${/^([1-6]|bad|muted)$/.test(item.tone) ? item.tone : "1"}`;
  const near = (value) => Math.round(value * 10) / 10;

  /**
   * Runs of points between gaps, in pixels. Many points in one column of pixels become its first, lowest, highest and
   * last, so that the path stays short and no peak is lost.
   */
  function runs(x, values, toX, toY) {
    const found = [];
    let run = null, column = NaN, first = -1, last, top, bottom, topY, bottomY;
    const keep = (i) => run.push([toX(x[i]), toY(values[i])]);
    const flush = () => {
      if (first < 0) return;
      keep(first);
      const [one, two] = top < bottom ? [top, bottom] : [bottom, top];
      if (one !== first && one !== last) keep(one);
      if (two !== first && two !== last && two !== one) keep(two);
      if (last !== first) keep(last);
      first = -1;
    };
    for (let i = 0; i < x.length; i += 1) {
      if (values[i] === undefined) continue;
      if (!seen(values[i])) { flush(); run = null; continue; }
      if (!run) found.push((run = []));
      const at = Math.floor(toX(x[i])), y = toY(values[i]);
      if (first < 0 || at !== column) {
        flush();
        column = at;
        first = last = top = bottom = i;
        topY = bottomY = y;
        continue;
      }
      last = i;
      if (y < topY) [top, topY] = [i, y];
      if (y > bottomY) [bottom, bottomY] = [i, y];
    }
    flush();
    return found;
  }

  const path = (run) => run.map(([x, y], at) => `${at ? "L" : "M"}${near(x)} ${near(y)}`).join("");
  const dot = ([x, y]) => `M${near(x)} ${near(y)}h0`;

  function drawSeries(into, series, options, toX, toY, base) {
    const found = runs(options.x, series.values, toX, toY);
    const drawn = found.reduce((sum, run) => sum + run.length, 0);
    const room = Math.abs(toX(options.x[options.x.length - 1]) - toX(options.x[0]));
    const dots = series.points && drawn * 6 <= Math.max(room, 60) ? found.flat() : found.filter((run) => run.length === 1).flat();
    const group = svg("g", { class: tone(series) });
    const lines = found.filter((run) => run.length > 1);
    if (options.area && !series.dashed) {
      group.append(svg("path", { class: "chart-area", d: lines.map((run) => `${path(run)}V${base}H${near(run[0][0])}Z`).join("") }));
    }
    group.append(svg("path", { class: `chart-line${series.dashed ? " chart-dashed" : ""}`, d: lines.map(path).join("") }));
    if (dots.length) group.append(svg("path", { class: "chart-dots", d: dots.map(dot).join("") }));
    into.append(group);
  }

  /** Writes a label where none is yet: the first free place at or below the wanted one. */
  function placeLabel(into, taken, text, box, x, y, anchor, className) {
    const long = width(text, "600");
    const left = Math.max(box.left + 2, Math.min(anchor === "end" ? x - long : anchor === "middle" ? x - long / 2 : x, box.right - long));
    const clashes = () => taken.some((other) => left < other.right + 4 && left + long > other.left - 4 && Math.abs(other.y - y) < LINE - 1);
    for (let tries = 0; clashes() && tries < 8; tries += 1) y += LINE;
    taken.push({ left, right: left + long, y });
    into.append(svg("text", { class: `chart-mark-text ${className}`, x: near(left), y: near(y) }, text));
  }

  function drawMarks(under, over, options, box, toX, toY) {
    const taken = [];
    const inside = (x) => x >= box.left - 1 && x <= box.right + 1;
    for (const band of options.bands ?? []) {
      const from = Math.max(box.left, seen(band.from) ? toX(band.from) : box.left);
      const to = Math.min(box.right, seen(band.to) ? toX(band.to) : box.right);
      if (to - from < 1) continue;
      under.append(svg("rect", { class: `chart-band ${tone(band)}`, x: near(from), y: box.top, width: near(to - from), height: box.bottom - box.top }));
      if (band.label) placeLabel(over, taken, band.label, box, (from + to) / 2, box.bottom - 8, "middle", tone(band));
    }
    for (const mark of options.marks ?? []) {
      if (seen(mark.x) && inside(toX(mark.x))) {
        const x = Math.round(toX(mark.x)) + 0.5, late = x > (box.left + box.right) / 2;
        over.append(svg("path", { class: `chart-mark ${tone(mark)}`, d: `M${x} ${box.top}V${box.bottom}` }));
        if (mark.label) placeLabel(over, taken, mark.label, box, late ? x - 6 : x + 6, box.top + FONT, late ? "end" : "start", tone(mark));
      } else if (seen(mark.y)) {
        const y = Math.round(toY(mark.y)) + 0.5, above = y < box.top - 1;
        if (!above) over.append(svg("path", { class: `chart-mark ${tone(mark)}`, d: `M${box.left} ${y}H${box.right}` }));
        const text = above ? `\u2191 ${mark.label ?? ""}` : mark.label;
        if (text) placeLabel(over, taken, text, box, box.left + 6, above ? box.top + FONT : y - 5 < box.top + FONT ? y + FONT + 3 : y - 5, "start", tone(mark));
      }
    }
  }

  // ---- one chart

  class Line {
    constructor(element, options) {
      this.id = `chart-clip-${(made += 1)}`;
      this.element = element;
      this.options = options;
      this.hidden = new Set();
      this.hover = null; // { px } under a pointer, { at } under the keyboard.
      this.legend = html("div", "chart-legend");
      this.plot = html("div", "chart-plot");
      this.plot.tabIndex = 0;
      this.plot.setAttribute("role", "img");
      this.svg = svg("svg", { "aria-hidden": "true", focusable: "false" });
      this.tip = html("div", "chart-tip");
      this.tip.hidden = true;
      this.said = html("div", "chart-said");
      this.said.setAttribute("role", "status");
      this.plot.append(this.svg, this.tip);
      element.classList.add("chart");
      element.replaceChildren(this.legend, this.plot, this.said);
      this.listen();
      this.draw();
      sizes?.observe(this.plot);
      owners.set(this.plot, this);
    }

    update(options) {
      this.options = options;
      this.later();
    }

    /** At most once a frame, and not at all in a tab that nobody looks at. */
    later() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => { this.waiting = false; this.draw(); });
    }

    listen() {
      const { plot } = this;
      const point = (event) => {
        this.hover = { px: event.clientX - plot.getBoundingClientRect().left };
        this.drawHover();
      };
      const leave = () => { this.hover = null; this.drawHover(); };
      plot.addEventListener("pointermove", point);
      plot.addEventListener("pointerdown", point);
      plot.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") leave(); });
      plot.addEventListener("blur", leave);
      plot.addEventListener("keydown", (event) => {
        const count = this.options.x?.length ?? 0, far = Math.max(1, Math.round(count / 10));
        const now = this.hoverAt() ?? (event.key === "ArrowLeft" ? count : -1);
        const to = { ArrowLeft: now - 1, ArrowRight: now + 1, PageDown: now - far, PageUp: now + far, Home: 0, End: count - 1 }[event.key];
        if (event.key === "Escape") leave();
        if (to === undefined || !count) return;
        event.preventDefault();
        this.hover = { at: Math.max(0, Math.min(count - 1, to)) };
        this.drawHover();
        this.said.textContent = this.tip.innerText.replace(/\s*\n\s*/g, ", ");
      });
    }

    shown() {
      return (this.options.series ?? []).filter((series) => !this.hidden.has(series.name));
    }

    draw() {
      const { options } = this;
      const wide = Math.floor(this.wide ?? this.plot.clientWidth), high = options.height ?? 220;
      this.drawLegend();
      if (wide < 40) return; // Not on the page, or hidden: the size observer comes back.
      const shown = this.shown(), xFormat = options.xFormat ?? (options.xTime ? clock : number), yFormat = options.yFormat ?? number;
      const box = { top: options.yLabel ? 20 : 8, bottom: high - (options.xLabel ? 34 : 20), right: wide - 10, left: 0 };
      const y = yRange(options, shown, Math.floor((box.bottom - box.top) / 42));
      box.left = Math.ceil(Math.max((options.gutter ?? 34) - 10, ...y.ticks.map((tick) => width(yFormat(tick)))) + 10);
      const x = xRange(options);
      const toX = scale(x.low, x.high, box.left + 0.5, box.right - 0.5, x.log);
      const toY = scale(y.low, y.high, box.bottom, box.top, y.log);
      const xTick = options.xTick ?? xFormat;
      const label = Math.max(width(xTick(x.low)), width(xTick(x.high))) + 22;
      const count = Math.floor((box.right - box.left) / label);
      const xTicks = options.x?.length === 1 ? options.x : y.empty && !options.x?.length ? [] : x.log ? logTicks(x.low, x.high, count) : evenTicks(x.low, x.high, count, options.xTime);

      const grid = svg("g"), under = svg("g"), curves = svg("g", { "clip-path": `url(#${this.id})` }), over = svg("g");
      const clip = svg("clipPath", { id: this.id });
      clip.append(svg("rect", { x: box.left - 4, y: box.top - 4, width: box.right - box.left + 8, height: box.bottom - box.top + 8 }));
      for (const tick of y.empty ? [] : y.ticks) {
        const at = Math.round(toY(tick)) + 0.5;
        grid.append(svg("path", { class: "chart-grid", d: `M${box.left} ${at}H${box.right}` }));
        grid.append(svg("text", { class: "chart-tick", x: box.left - 7, y: at + 3.5, "text-anchor": "end" }, yFormat(tick)));
      }
      let free = -Infinity;
      for (const tick of xTicks) {
        const at = toX(tick), half = width(xTick(tick)) / 2, middle = Math.max(half, Math.min(at, wide - half - 1));
        grid.append(svg("path", { class: "chart-stub", d: `M${Math.round(at) + 0.5} ${box.bottom}v4` }));
        if (middle - half < free) continue;
        free = middle + half + 6;
        grid.append(svg("text", { class: "chart-tick", x: near(middle), y: box.bottom + 16, "text-anchor": "middle" }, xTick(tick)));
      }
      grid.append(svg("path", { class: "chart-axis", d: `M${box.left} ${Math.round(toY(y.log ? y.low : Math.max(0, y.low))) + 0.5}H${box.right}` }));
      if (options.yLabel) grid.append(svg("text", { class: "chart-label", x: 0, y: FONT }, options.yLabel));
      if (options.xLabel) grid.append(svg("text", { class: "chart-label", x: box.right, y: high - 4, "text-anchor": "end" }, options.xLabel));
      drawMarks(under, over, options, box, toX, toY);
      if (options.x?.length) for (const series of shown) drawSeries(curves, series, options, toX, toY, box.bottom);
      if (y.empty) grid.append(svg("text", { class: "chart-label", x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2, "text-anchor": "middle" }, "nothing to show yet"));

      this.svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
      this.svg.setAttribute("width", wide);
      this.svg.setAttribute("height", high);
      this.hoverLayer = svg("g");
      this.svg.replaceChildren(clip, under, grid, curves, over, this.hoverLayer);
      this.drawn = { box, toX, toY, xFormat, yFormat, wide };
      this.plot.setAttribute("aria-label", this.summary(shown, xFormat, yFormat));
      this.drawHover();
    }

    drawLegend() {
      const all = this.options.series ?? [];
      const key = JSON.stringify(all.map((series) => [series.name, series.tone, series.dashed]));
      if (key === this.legendKey) return;
      this.legendKey = key;
      this.legend.hidden = all.length < 2;
      this.legend.replaceChildren(...all.map((series) => {
        const button = html("button", `chart-key ${tone(series)}${series.dashed ? " chart-dashed" : ""}`, series.name);
        button.type = "button";
        button.setAttribute("aria-pressed", String(!this.hidden.has(series.name)));
        button.addEventListener("click", () => {
          if (!this.hidden.delete(series.name)) this.hidden.add(series.name);
          button.setAttribute("aria-pressed", String(!this.hidden.has(series.name)));
          this.later();
        });
        return button;
      }));
    }

    /** The point that is pointed at, by its index. */
    hoverAt() {
      const x = this.options.x ?? [];
      if (!this.hover || !this.drawn || !x.length) return null;
      if (this.hover.at !== undefined) return Math.min(this.hover.at, x.length - 1);
      const { toX } = this.drawn;
      let low = 0, high = x.length - 1;
      while (low < high) { // The first point at or right of the pointer.
        const middle = (low + high) >> 1;
        if (toX(x[middle]) < this.hover.px) low = middle + 1; else high = middle;
      }
      return low && this.hover.px - toX(x[low - 1]) < toX(x[low]) - this.hover.px ? low - 1 : low;
    }

    drawHover() {
      const at = this.hoverAt();
      this.hoverLayer?.replaceChildren();
      this.tip.hidden = at === null;
      if (at === null) return;
      const { box, toX, toY, xFormat, yFormat, wide } = this.drawn;
      const x = this.options.x[at], px = toX(x);
      const head = html("div", "chart-tip-head", [xFormat(x), this.options.xLabel].filter(Boolean).join(" "));
      const rows = [head];
      this.hoverLayer.append(svg("path", { class: "chart-cross", d: `M${Math.round(px) + 0.5} ${box.top}V${box.bottom}` }));
      for (const series of this.shown()) {
        const value = series.values[at], there = seen(value);
        const row = html("div", `chart-tip-row ${tone(series)}${series.dashed ? " chart-dashed" : ""}`);
        row.append(html("span", "chart-tip-name", series.name), html("b", "", there ? yFormat(value) : value === null && this.options.noValue || "\u2013"));
        rows.push(row);
        if (there) this.hoverLayer.append(svg("circle", { class: `chart-spot ${tone(series)}`, cx: near(px), cy: near(Math.max(box.top, toY(value))), r: 4 }));
      }
      this.tip.replaceChildren(...rows);
      const size = this.tip.offsetWidth, right = px + 14 + size <= wide;
      this.tip.style.left = `${Math.max(0, right ? px + 14 : px - 14 - size)}px`;
      this.tip.style.top = `${box.top}px`;
    }

    summary(shown, xFormat, yFormat) {
      const { options } = this;
      const parts = shown.map(({ name, values }) => {
        let count = 0, last, high = -Infinity, highAt = 0;
        for (let i = 0; i < values.length; i += 1) {
          if (!seen(values[i])) continue;
          count += 1;
          last = values[i];
          if (last > high) [high, highAt] = [last, i];
        }
        if (!count) return `${name}: no value`;
        return `${name}: highest ${yFormat(high)} at ${xFormat(options.x[highAt])}, last ${yFormat(last)}`;
      });
      const what = options.label ?? [options.yLabel, options.xLabel].filter(Boolean).join(" against ");
      const marks = [...(options.marks ?? []), ...(options.bands ?? [])].map((mark) => mark.label).filter(Boolean);
      return `Chart. ${[what, ...parts, ...marks].filter(Boolean).join(". ")}. Arrow keys read the points.`;
    }
  }

  const owners = new WeakMap();
  const sizes = typeof ResizeObserver === "function"
    ? new ResizeObserver((entries) => {
      for (const { target, contentRect } of entries) {
        const chart = owners.get(target);
        if (!chart || chart.wide === contentRect.width) continue;
        chart.wide = contentRect.width; // Kept, because asking the page between two drawings makes it lay itself out anew.
        chart.later();
      }
    })
    : null;

  /** A line without axes, from nought to the highest value; draws anew into the element at each call. */
  function spark(element, values, options = {}) {
    const W = 120, H = 24;
    const found = values.filter(seen), high = options.max ?? Math.max(...found, 0);
    const toX = scale(0, Math.max(values.length - 1, 1), 2, W - 2), toY = scale(0, high || 1, H - 2, 2);
    const lines = runs(values.map((_, at) => at), values, toX, toY);
    const root = svg("svg", { class: `chart-spark ${tone(options)}`, viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    root.append(svg("path", { class: "chart-line", d: lines.filter((run) => run.length > 1).map(path).join("") }));
    root.append(svg("path", { class: "chart-dots", d: lines.filter((run) => run.length === 1).map((run) => dot(run[0])).join("") }));
    element.replaceChildren(root);
  }

  globalThis.Charts = Object.freeze({ line: (element, options) => new Line(element, options), spark, number, ms, percent, bytes, clock });
})();
