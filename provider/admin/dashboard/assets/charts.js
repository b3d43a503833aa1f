// The charts: uPlot draws them, everything beside the canvas is for those who cannot see or point at it.

import { NONE, clock } from "./format.js";

const KEPT_SECONDS = 3600;
const FIRST_SECONDS = 60;
const UNRECORDED = "not recorded";
const TABLE_ROWS = 10;
const HEIGHT = { wide: 200, narrow: 150 };

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const styles = () => getComputedStyle(document.documentElement);
const colour = (name) => styles().getPropertyValue(`--${name}`).trim();

export class Chart {
  // `lines`: key of the point, name, colour, whether it is dashed; `show` formats a value.
  constructor(id, { title, lines, show, fill = false, sync, least = 0 }) {
    this.figure = document.getElementById(id);
    this.title = title;
    this.lines = lines;
    this.show = show;
    this.fill = fill;
    this.sync = sync;
    this.least = least;
    this.data = [[], ...lines.map(() => [])];
    this.shownSeconds = KEPT_SECONDS;
    this.gaps = [];
    this.values = lines.map(() => element("b", {}, NONE));
    const legend = lines.map((line, index) =>
      element("li", {}, element("i", { class: `mark ${line.colour}${line.dash ? " dash" : ""}` }), `${line.name} `, this.values[index]),
    );
    this.time = element("time", { class: "at" });
    this.plot = element("div", { class: "plot", role: "img", tabindex: "0", "aria-label": title });
    this.table = element("table");
    this.details = element("details", {}, element("summary", {}, "As a table"), element("div", { class: "table" }, this.table));
    this.details.addEventListener("toggle", () => this.tell());
    this.figure.append(
      element("figcaption", {}, element("h2", {}, title), this.time, element("ul", { class: "legend" }, ...legend)),
      this.plot,
      this.details,
    );
    this.plot.addEventListener("keydown", (event) => this.step(event));
    this.plot.addEventListener("blur", () => this.drawn?.setCursor({ left: -10, top: -10 }));
    new ResizeObserver(() => this.fit()).observe(this.plot);
    this.draw();
  }

  size() {
    const height = this.figure.classList.contains("wide") ? HEIGHT.wide : HEIGHT.narrow;
    return { width: Math.max(200, Math.floor(this.plot.clientWidth)), height };
  }

  fit() {
    const size = this.size();
    if (this.drawn && this.drawn.width !== size.width) this.drawn.setSize(size);
  }

  // Anew, because a canvas does not follow a change of the colour scheme.
  draw() {
    this.drawn?.destroy();
    const soft = colour("soft");
    const axis = { stroke: soft, font: `12px ${styles().fontFamily}`, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    const options = {
      ...this.size(),
      legend: { show: false },
      padding: [10, 28, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: this.sync }, points: { size: 7 } },
      scales: { x: { time: true, range: (_, low, high) => this.span(low, high) }, y: { range: (_, low, high) => this.reach(high) } },
      axes: [
        { ...axis, grid: { show: false }, space: 70, size: 28, values: (_, ticks) => ticks.map((tick) => clock(tick).slice(0, tick % 60 ? 8 : 5)) },
        { ...axis, size: 72, space: 28, values: (_, ticks) => ticks.map((tick) => this.show(tick).replace(/\.0+(?=\D)/, "")) },
      ],
      series: [
        {},
        ...this.lines.map((line) => ({
          stroke: colour(line.colour),
          width: 1.75,
          dash: line.dash ? [5, 4] : undefined,
          fill: this.fill ? colour(`${line.colour}-fill`) : undefined,
          points: { show: (plot, series, from, to) => to - from < 3 },
        })),
      ],
      hooks: { setCursor: [() => this.read()], drawClear: [(plot) => this.shade(plot)] },
    };
    this.drawn = new uPlot(options, this.data, this.plot);
  }

  span(low, high) {
    const end = high ?? Date.now() / 1000;
    return [Math.max(end - this.shownSeconds, Math.min(low ?? end, end - FIRST_SECONDS)), end];
  }

  reach(high) {
    return [0, Math.max(this.least, (high ?? 0) * 1.12) || 1];
  }

  add(point, { gap }) {
    const [times, ...series] = this.data;
    if (gap) {
      this.gaps.push([times.at(-1), point.t]);
      times.push(times.at(-1) + 0.001);
      series.forEach((values) => values.push(null));
    }
    times.push(point.t);
    this.lines.forEach((line, index) => series[index].push(point[line.key] ?? null));
    while (times.length && point.t - times[0] > KEPT_SECONDS) this.data.forEach((values) => values.shift());
    this.gaps = this.gaps.filter(([, to]) => to > times[0]);
  }

  showLast(seconds) {
    this.shownSeconds = seconds;
    this.drawn.setData(this.data);
  }

  // Gaps say what they are, so that nobody takes them for a time without traffic.
  shade(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.font = `${12 * devicePixelRatio}px ${styles().fontFamily}`;
    ctx.textAlign = "center";
    for (const [from, to] of this.gaps) {
      const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
      const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
      if (right <= left) continue;
      ctx.fillStyle = colour("line");
      ctx.globalAlpha = 0.5;
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      ctx.globalAlpha = 1;
      ctx.fillStyle = colour("soft");
      if (ctx.measureText(UNRECORDED).width < right - left) ctx.fillText(UNRECORDED, (left + right) / 2, bbox.top + bbox.height / 2);
    }
    ctx.restore();
  }

  update() {
    this.drawn.setData(this.data);
    this.tell();
    this.read();
  }

  // The legend shows what the cursor is at, else the latest values.
  read() {
    const at = this.drawn?.cursor?.idx;
    const index = at ?? this.data[0].length - 1;
    this.time.textContent = at == null ? "" : clock(this.data[0][at]);
    this.lines.forEach((_, line) => {
      this.values[line].textContent = this.show(this.data[line + 1][index]);
    });
  }

  tell() {
    const told = this.lines.map((line, index) => {
      const known = this.data[index + 1].filter((value) => value != null);
      if (!known.length) return `${line.name}: nothing yet`;
      return `${line.name}: now ${this.show(this.data[index + 1].at(-1))}, between ${this.show(Math.min(...known))} and ${this.show(Math.max(...known))}`;
    });
    this.plot.setAttribute("aria-label", `${this.title}. ${told.join(". ")}.`);
    if (!this.details.open) return;
    const head = element("tr", {}, element("th", { scope: "col" }, "Time"), ...this.lines.map((line) => element("th", { scope: "col", class: "number" }, line.name)));
    const rows = this.data[0].map((_, index) => index).filter((index) => this.data[1][index] !== undefined).slice(-TABLE_ROWS).reverse();
    this.table.replaceChildren(
      element("thead", {}, head),
      element("tbody", {}, ...rows.map((index) =>
        element("tr", {}, element("th", { scope: "row" }, clock(this.data[0][index])), ...this.lines.map((_, line) => element("td", { class: "number" }, this.show(this.data[line + 1][index])))),
      )),
    );
  }

  step(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const last = this.data[0].length - 1;
    if (event.key === "Escape") this.drawn.setCursor({ left: -10, top: -10 });
    if (move === undefined || last < 0) return;
    event.preventDefault();
    const from = this.drawn.cursor.idx ?? last + (move < 0 ? 1 : 0);
    const index = Math.min(last, Math.max(0, from + move));
    this.drawn.setCursor({ left: this.drawn.valToPos(this.data[0][index], "x"), top: 10 });
  }
}
