/**
 * The requests of an exported file: what the server's reader answers, answered by the page
 * itself. The data is gzip as base64 of `{"request": SUMMARY, "runs": [RUN, ...]}`, or of
 * `{"requests": [such pairs]}`.
 */

import { filterWords } from "./filters.js";
import { percentile } from "./format.js";
import { SourceError } from "./source.js";

const BUCKETS = 48;
const TEXT_VALUES = {
  status: (row) => [row.status],
  kind: (row) => [row.kind],
  name: (row) => [row.name],
  model: (row) => [row.model],
  user: (row) => [row.user],
  tag: (row) => row.tags ?? [],
  error: (row) => [row.error_type, row.error_message, row.error_name],
  id: (row) => [row.hex, row.trace_id, row.run_id],
};
const NUMBER_VALUES = {
  cost: (row) => row.cost_usd,
  duration: (row) => row.duration_ms,
  tokens: (row) => added([row], "input_tokens", "output_tokens"),
  runs: (row) => row.runs,
};
const UNIT_MS = { ms: 1, s: 1e3, m: 60e3, h: 3600e3 };

async function unpacked(text) {
  const compressed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

const has = (values, word) =>
  values.some((value) => value != null && String(value).toLowerCase().includes(word));

function isWord(row, word) {
  const [, key, sign, given] = word.match(/^(?:(\w+):)?([<>])?(.*)$/s);
  const value = given.replaceAll('"', "").toLowerCase();
  if (NUMBER_VALUES[key] && sign) {
    const [, number, unit] = value.match(/^([\d.]+)(\w*)$/) ?? [];
    const limit = Number(number) * (key === "duration" ? UNIT_MS[unit || "s"] : 1);
    const known = NUMBER_VALUES[key](row);
    return known != null && (sign === ">" ? known > limit : known < limit);
  }
  if (!key) {
    const texts = ["name", "model", "user", "tag", "error"].flatMap((one) => TEXT_VALUES[one](row));
    return has([...texts, row.said, row.answered], value);
  }
  if (!TEXT_VALUES[key]) {
    const keys = [...Object.keys(TEXT_VALUES), ...Object.keys(NUMBER_VALUES)].join(", ");
    const problem = `${key}: is no word of a filter.`;
    throw new SourceError(problem, { cure: `There is ${keys}.`, status: 400 });
  }
  return has(TEXT_VALUES[key](row), value);
}

const isFitting = (row, q) =>
  filterWords(q).every((word) =>
    word.startsWith("-") ? !isWord(row, word.slice(1)) : isWord(row, word));

/** The sum of what is known of some keys; undefined where nothing is. */
function added(rows, ...keys) {
  const known = rows.flatMap((row) => keys.map((key) => row[key])).filter((one) => one != null);
  return known.length ? known.reduce((sum, one) => sum + one, 0) : undefined;
}

const valuesOf = (rows, key) => rows.map((row) => row[key]).filter((one) => one != null);
const failedOf = (rows) => rows.filter((row) => row.status === "error").length;

function countsBy(rows, key) {
  const counts = {};
  for (const row of rows) counts[row[key]] = (counts[row[key]] ?? 0) + 1;
  return counts;
}

function buckets(rows, oldest, newest) {
  const step = (newest - oldest + 1) / BUCKETS;
  const made = Array.from({ length: BUCKETS }, (_, i) => ({
    start_ms: oldest + i * step, requests: 0, errors: 0,
  }));
  for (const row of rows) {
    const bucket = made[Math.floor((row.started_ms - oldest) / step)];
    bucket.requests++;
    if (row.status === "error") bucket.errors++;
  }
  return made;
}

function summed(rows, total) {
  const starts = valuesOf(rows, "started_ms");
  const [oldest, newest] = [Math.min(...starts), Math.max(...starts)];
  const durations = valuesOf(rows, "duration_ms");
  return {
    requests: rows.length, total, errors: failedOf(rows),
    running: rows.filter((row) => row.status === "running").length,
    median_ms: percentile(durations, 0.5), p95_ms: percentile(durations, 0.95),
    cost_usd: added(rows, "cost_usd"),
    ...(rows.length && { oldest_ms: oldest, newest_ms: newest }),
    histogram: rows.length ? buckets(rows, oldest, newest) : [],
    by_kind: countsBy(rows, "kind"), by_status: countsBy(rows, "status"),
  };
}

function nameRow(runs) {
  const [{ kind, name, model }] = runs;
  const durations = valuesOf(runs, "duration_ms");
  return {
    kind, name, model, runs: runs.length, errors: failedOf(runs),
    p50_ms: percentile(durations, 0.5), p95_ms: percentile(durations, 0.95),
    first_token_p50_ms: percentile(valuesOf(runs, "first_token_ms"), 0.5),
    total_ms: added(runs, "duration_ms"), cost_usd: added(runs, "cost_usd"),
    input_tokens: added(runs, "input_tokens"), output_tokens: added(runs, "output_tokens"),
  };
}

const closedWatch = { close() {} };

export class Packed {
  /** Open what stands in a file; what it holds is there at once. */
  static async open(text) {
    const data = await unpacked(text);
    return new Packed(data.requests ?? [data]);
  }

  constructor(pairs) {
    this.single = pairs.length === 1;
    this.live = false;
    this.state = "live";
    this.onstate = () => {};
    this.pairs = pairs;
    this.runs = new Map(pairs.flatMap(({ runs }) => runs.map((run) => [run.run_id, run])));
  }

  fitting(q) {
    return this.pairs.filter(({ request }) => isFitting(request, q));
  }

  async about() {
    return {};
  }

  /** All rows that fit, newest first: a file has no further pages. */
  async requests(q, { before } = {}) {
    const rows = before == null ? this.fitting(q).map(({ request }) => request) : [];
    return { requests: rows.sort((a, b) => b.key - a.key), cursor: 0 };
  }

  async summary(q) {
    return summed(this.fitting(q).map(({ request }) => request), this.pairs.length);
  }

  async names(q) {
    const groups = new Map();
    for (const run of this.fitting(q).flatMap(({ runs }) => runs)) {
      const key = JSON.stringify([run.kind, run.name, run.model]);
      if (groups.has(key)) groups.get(key).push(run);
      else groups.set(key, [run]);
    }
    return [...groups.values()].map(nameRow);
  }

  async request(id) {
    const found = this.pairs.find(({ request }) => [request.trace_id, request.hex].includes(id));
    if (!found) throw new SourceError("No such request in this file", { status: 404 });
    return { ...found, cursor: 0 };
  }

  async run(id) {
    if (!this.runs.has(id)) throw new SourceError("No such run in this file", { status: 404 });
    return this.runs.get(id);
  }

  watchList() {
    return closedWatch;
  }

  watchRequest() {
    return closedWatch;
  }
}
