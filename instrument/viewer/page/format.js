/**
 * How figures are written: three figures, a narrow space before the unit, and a dash for what is
 * not known, which is never the same as 0.
 */

import { h } from "./dom.js";

const NARROW = "\u202f";
export const UNKNOWN = "–";

/** Three figures of a number of at least 1: 1.23, 12.3, 123. */
function threeFigures(number) {
  const rounded = Number(number.toPrecision(3));
  return rounded.toFixed(rounded >= 100 ? 0 : rounded >= 10 ? 1 : 2);
}

const twoDigits = (number) => String(number).padStart(2, "0");

/** A duration as figure and unit: ["9.31", "s"]; unknown is a dash without a unit. */
export function durationParts(ms) {
  if (ms == null || Number.isNaN(ms)) return [UNKNOWN, ""];
  if (ms < 0.0005) return ["0", "ms"];
  if (ms < 0.9995) return [String(Math.round(ms * 1e3)), "µs"];
  if (ms < 999.5) return [threeFigures(ms), "ms"];
  if (Number((ms / 1e3).toPrecision(3)) < 60) return [threeFigures(ms / 1e3), "s"];
  const seconds = Math.round(ms / 1e3);
  if (seconds < 3600) return [`${Math.floor(seconds / 60)}:${twoDigits(seconds % 60)}`, "min"];
  const minutes = Math.round(ms / 60e3);
  return [`${Math.floor(minutes / 60)}:${twoDigits(minutes % 60)}`, "h"];
}

/** A duration as text: `287 µs`, `4.37 ms`, `9.31 s`, `1:35 min`, `2:04 h`. */
export function duration(ms) {
  const [figure, unit] = durationParts(ms);
  return unit ? figure + NARROW + unit : figure;
}

/** A duration whose unit is paler and, in columns, has a width of its own. */
export function durationEl(ms) {
  const [figure, unit] = durationParts(ms);
  return h("span", {}, figure, h("span.unit", {}, unit && NARROW + unit));
}

/** A count in full: `9,961`. */
export function count(number) {
  return number == null ? UNKNOWN : Number(number).toLocaleString("en");
}

/** Tokens: `9,412`, from 10,000 on `12.5k`, `2.38M`. */
export function tokens(number) {
  if (number == null) return UNKNOWN;
  if (number < 10_000) return count(number);
  if (Number(number.toPrecision(3)) < 1e6) return `${threeFigures(number / 1e3)}k`;
  return `${threeFigures(number / 1e6)}M`;
}

/** Money: under $1 four decimals, else two; a price too small to write is not $0. */
export function money(usd) {
  if (usd == null) return UNKNOWN;
  if (usd === 0) return "$0";
  if (usd < 0.0001) return "<$0.0001";
  if (usd < 0.99995) return `$${usd.toFixed(4)}`;
  return `$${usd.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

/** Bytes: `412 B`, `4.38 kB`, `1.20 GB`. */
export function bytes(number) {
  if (number == null) return UNKNOWN;
  let left = number;
  for (const unit of ["B", "kB", "MB"]) {
    if (left < 999.5) return (unit === "B" ? left : threeFigures(left)) + NARROW + unit;
    left /= 1e3;
  }
  return threeFigures(left) + NARROW + "GB";
}

/** How long ago a moment is (unix ms): `3 min ago`. */
export function ago(ms, now = Date.now()) {
  const seconds = Math.max(0, Math.floor((now - ms) / 1e3));
  if (seconds < 60) return `${seconds}${NARROW}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${NARROW}min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}${NARROW}h ago`;
  return `${Math.floor(seconds / 86400)}${NARROW}d ago`;
}

/** The clock of a moment (unix ms), in UTC: `14:02:31`. */
export function clock(ms) {
  return new Date(ms).toISOString().slice(11, 19);
}

/** A moment in full, as a tooltip says it: day and clock in UTC, and how long ago. */
export function moment(ms) {
  return `${new Date(ms).toISOString().slice(0, 10)} ${clock(ms)} UTC, ${ago(ms)}`;
}

/** A difference with its sign, written by `write`: `−2.60 s`, `+$0.0081`. */
export function signed(number, write) {
  return (number < 0 ? "−" : "+") + write(Math.abs(number));
}

/** `1 request`, `2 requests`: the count with its word. */
export function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** The value below which `share` (0 to 1) of the numbers lie; null of none. */
export function percentile(numbers, share) {
  if (!numbers.length) return null;
  const sorted = Float64Array.from(numbers).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
