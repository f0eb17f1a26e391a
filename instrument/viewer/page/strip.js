/** The strip above the list: when what the filter shows came, and its sums. */

import { fact, fill, h } from "./dom.js";
import { ago, clock, count, counted, durationEl, money } from "./format.js";

function bucketBar(bucket, next, most) {
  const { requests, errors } = bucket;
  const to = next ? `–${clock(next.start_ms)}` : "";
  const said = `${counted(requests, "request")}, ${count(errors)} failed, `;
  const height = (share) => ({ height: `${(share / most) * 100}%` });
  return h("div.b", { title: requests ? `${said}${clock(bucket.start_ms)}${to} UTC` : null },
    requests > errors ? h("i", { style: height(requests - errors) }) : null,
    errors ? h("i.e", { style: height(errors) }) : null);
}

function histogram(summary) {
  const buckets = summary.histogram ?? [];
  const most = Math.max(1, ...buckets.map((bucket) => bucket.requests));
  const oldest = summary.oldest_ms ?? buckets[0]?.start_ms;
  const newest = summary.newest_ms ?? Date.now();
  const recent = Date.now() - newest < 60e3;
  const words = `${counted(summary.requests, "request")} since ${ago(oldest ?? newest)}, ` +
    `${count(summary.errors)} failed`;
  return h("div.hist", { role: "img", "aria-label": words },
    h("div.bars", {}, buckets.map((bucket, i) => bucketBar(bucket, buckets[i + 1], most))),
    h("div.ax", {}, h("span", {}, oldest == null ? "" : ago(oldest)),
      h("span", {}, recent ? "now" : ago(newest))));
}

function failedFigure(summary) {
  if (!summary.errors) return "0";
  const percent = Math.round((summary.errors / summary.requests) * 100);
  return h("span.err", {}, count(summary.errors), " ",
    h("span.sub", {}, percent ? `${percent}%` : "<1%"));
}

/** Draw a summary (`Reader.summary`) into the strip. */
export function drawStrip(strip, summary) {
  fill(strip, histogram(summary), h("dl.facts", {},
    fact("Requests", count(summary.requests)),
    fact("Failed", failedFigure(summary)),
    fact("Median", durationEl(summary.median_ms)),
    fact("p95", durationEl(summary.p95_ms)),
    fact("Cost", money(summary.cost_usd))));
}
