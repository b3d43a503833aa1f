// Listens to the server's pictures while somebody looks, and shows them.

import { Chart } from "./charts.js";
import * as format from "./format.js";
import { Tables } from "./tables.js";

const RETRY_MS = 3000;
// Those who asked for less motion see charts move every so many pictures; a pause button is there for all.
const CALM_PICTURES = 5;

const byId = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const sync = "dashboard";

const charts = [
  new Chart("chart-throughput", {
    title: "Throughput", sync, fill: true, least: 1000, show: format.rate,
    lines: [{ key: "throughput", name: "Sent to consumers", colour: "first" }],
  }),
  new Chart("chart-requests", {
    title: "Requests", sync, least: 1, show: format.perSecond,
    lines: [
      { key: "requests", name: "All", colour: "first" },
      { key: "consumer_faults", name: "Refused", colour: "second", dash: true },
      { key: "origin_faults", name: "Origin faults", colour: "third", dash: true },
      { key: "our_faults", name: "Our faults", colour: "fourth", dash: true },
    ],
  }),
  new Chart("chart-decrypt", {
    title: "Decryption", sync, least: 1e-4, show: format.seconds,
    lines: [
      { key: "decrypt_p50", name: "p50", colour: "first" },
      { key: "decrypt_p99", name: "p99", colour: "second", dash: true },
    ],
  }),
  new Chart("chart-first-byte", {
    title: "Time to first byte", sync, least: 1e-3, show: format.seconds,
    lines: [
      { key: "first_byte_p50", name: "p50", colour: "first" },
      { key: "first_byte_p99", name: "p99", colour: "second", dash: true },
    ],
  }),
  new Chart("chart-process", {
    title: "CPU", sync, least: 0.1, show: format.share,
    lines: [{ key: "cpu", name: "Share of one core", colour: "first" }],
  }),
];
const tables = new Tables();

let source = null;
let retry = 0;
let paused = false;
let startedAt = null;
let workers = 1;
let lastTime = null;
let every = 1;
let recorded = 10;

function say(state, text) {
  const place = byId("state");
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  place.textContent = text;
}

function add(point) {
  // The same picture may come twice: in the past that a new connection is told, and before.
  if (lastTime !== null && point.t <= lastTime) return;
  const gap = lastTime !== null && point.t - lastTime > 2.5 * Math.max(every, recorded);
  charts.forEach((chart) => chart.add(point, { gap }));
  lastTime = point.t;
}

function set(name, value, note = "") {
  byId(`now-${name}`).textContent = value;
  byId(`note-${name}`).textContent = note;
}

function showNow(point, totals) {
  const origins = totals.origin_ratio == null ? "" : `, ${format.percent(totals.origin_ratio)} of it from origins`;
  set("throughput", format.rate(point.throughput), `${format.bytes(totals.sent_bytes)} in total${origins}`);
  set("streams", format.count(point.streams), "in progress");
  set("requests", format.perSecond(point.requests), `${format.count(totals.requests)} in total`);
  const faults = point.our_faults == null ? null : point.consumer_faults + point.origin_faults + point.our_faults;
  set("errors", format.perSecond(faults), `${format.count(totals.consumer_faults)} refused, ${format.count(totals.origin_faults)} failed at origins, ${format.count(totals.our_faults)} failed here`);
  const since = totals.decrypt_p99 == null ? "nothing yet" : `${format.seconds(totals.decrypt_p99)} since the start`;
  set("decrypt", format.seconds(point.decrypt_p99), point.decrypt_p99 == null ? since : `p50 ${format.seconds(point.decrypt_p50)}`);
  set("hits", format.percent(point.hit_ratio), "in the last minute");
}

function showAbout(point) {
  const told = [
    `settings read ${format.moment(startedAt)}`,
    `up ${format.age(point.t - startedAt)}`,
    `${workers} ${workers === 1 ? "worker" : "workers"}`,
    format.bytes(point.rss_bytes),
  ];
  if (point.loop_lag_p99 != null) told.push(`loop lag ${format.seconds(point.loop_lag_p99)}`);
  byId("about").textContent = told.join(" · ");
}

function onHello(event) {
  const hello = JSON.parse(event.data);
  byId("version").textContent = hello.version;
  byId("off").hidden = hello.metrics;
  ({ started_at: startedAt, workers, every_seconds: every, record_seconds: recorded } = hello);
  hello.points.forEach(add);
  if (hello.points.length) charts.forEach((chart) => chart.update());
}

function onPicture(event) {
  const picture = JSON.parse(event.data);
  add(picture.point);
  if (!calm.matches || picture.number % CALM_PICTURES === 0) charts.forEach((chart) => chart.update());
  showNow(picture.point, picture.totals);
  showAbout(picture.point);
  tables.update(picture);
  say("live", "Live");
  document.documentElement.dataset.pictures = picture.number;
}

function close() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function open() {
  close();
  if (paused || document.hidden) return;
  source = new EventSource("events");
  source.addEventListener("hello", onHello);
  source.addEventListener("picture", onPicture);
  source.addEventListener("error", () => {
    say("waiting", "Reconnecting");
    // A browser comes back by itself when the line was lost, but not when it was refused.
    if (source?.readyState === EventSource.CLOSED) retry = setTimeout(open, RETRY_MS);
  });
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (paused) {
    close();
    say("paused", "Paused");
  } else {
    say("waiting", "Connecting");
    open();
  }
});
byId("span").addEventListener("click", () => {
  const isShort = byId("span").getAttribute("aria-pressed") !== "true";
  byId("span").setAttribute("aria-pressed", String(isShort));
  charts.forEach((chart) => chart.showLast(isShort ? 300 : 3600));
});
// A page in the background costs the server nothing.
document.addEventListener("visibilitychange", open);
dark.addEventListener("change", () => charts.forEach((chart) => chart.draw()));
open();
