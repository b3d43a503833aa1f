// Numbers as people read them. Null is "nothing was counted" and stays visible as a dash.

export const NONE = "–";
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function three(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 || value === 0 ? 0 : size >= 10 ? 1 : 2);
}

function scaled(value, steps) {
  const [factor, unit] = steps.find(([factor]) => Math.abs(value) >= factor * 0.9995) ?? steps.at(-1);
  return `${three(value / factor)} ${unit}`;
}

const BYTES = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]];
const SECONDS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]];

export const bytes = (value) => (value == null ? NONE : scaled(value, BYTES));
export const rate = (value) => (value == null ? NONE : `${scaled(value, BYTES)}/s`);
export const seconds = (value) => (value == null ? NONE : value === 0 ? "0 s" : scaled(value, SECONDS));
export const count = (value) => (value == null ? NONE : WHOLE.format(value));
export const perSecond = (value) => (value == null ? NONE : `${value > 0 && value < 0.01 ? "<0.01" : value >= 1000 ? WHOLE.format(value) : three(value)}/s`);
export const percent = (value) => (value == null ? NONE : `${(value * 100).toFixed(value > 0.9995 || value === 0 ? 0 : 1)} %`);
export const share = (value) => (value == null ? NONE : `${(value * 100).toFixed(value < 0.0995 && value > 0 ? 1 : 0)} %`);

export function age(value) {
  if (value == null) return NONE;
  const whole = Math.floor(value);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

export const clock = (value) => new Date(value * 1000).toLocaleTimeString("en-GB");
export const moment = (value) => new Date(value * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
