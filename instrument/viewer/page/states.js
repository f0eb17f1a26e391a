/** What the page says when there is nothing to show, or nothing to read from any more. */

import { copyText, h, icon } from "./dom.js";
import { bytes, clock, count, counted } from "./format.js";

const RETRY_STORE_S = 5;
const GHOST_ROWS = 14;
const RUN_IT = "python -m instrument run app.py";
const INSIDE_IT = `from instrument import auto, callbacks
from instrument.handlers import StoreHandler

auto.install()
callbacks(StoreHandler()).install()`;

function commandBox(text) {
  return h("div.cmd", {}, h("pre", {}, text),
    h("button.btn", { type: "button", onclick: () => copyText(text) }, "Copy"));
}

/** Nothing recorded yet, and the two ways to begin. */
export function emptyState(source) {
  const path = h("code", {}, "");
  const watching = h("p.dim.small", { hidden: true }, "Watching ", path);
  source.about().then((about) => {
    path.textContent = about.path ?? "";
    watching.hidden = !about.path;
  }, () => {});
  return h("div.calm", {},
    h("h1", {}, "Nothing recorded yet"),
    h("p", {}, "Start a program in one of these two ways. Its first request appears here " +
      "while it runs; nothing to reload."),
    h("div.way", {}, h("div.lb", {}, "Your program, as it is:"), commandBox(RUN_IT)),
    h("div.way", {}, h("div.lb", {}, "Or inside it, before its first call:"),
      commandBox(INSIDE_IT)),
    watching);
}

const ghost = (width) => h("span.ghost", {}, h("i", { style: { width: `${width}px` } }));

function ghostRow(i) {
  return h("div.cols.ghosts", { style: { "--fade": `${100 - i * 6}%` } },
    ghost(10), ghost(90 + ((i * 37) % 60)), ghost(180 + ((i * 71) % 200)));
}

/**
 * Grey rows while a store opens. `progress()` is called for each of the `steps` answers that came;
 * the store's own answer about itself is one of them.
 */
export function openingState(source, steps) {
  let done = 0;
  const fillUp = h("i", {});
  const line = h("div.prog", {
    role: "progressbar", "aria-label": "Opening the store", "aria-valuenow": 0,
  }, fillUp);
  const words = h("span.dim", { role: "status" }, "Opening the store");
  const progress = () => {
    const percent = Math.round((++done / steps) * 100);
    fillUp.style.setProperty("width", `${percent}%`);
    line.setAttribute("aria-valuenow", percent);
  };
  source.about().then(({ path, requests, bytes: size }) => {
    const file = path?.split(/[\\/]/).pop() ?? "the store";
    words.textContent = `Opening ${file}: ${counted(requests, "request")}, ${bytes(size)}`;
    progress();
  }, () => {});
  const rows = Array.from({ length: GHOST_ROWS }, (_, i) => ghostRow(i));
  const element = h("div.page", { "aria-busy": "true" }, line, h("div.filters", {}, words),
    h("section.list.page", {}, h("div.scroll", {}, rows)));
  return { element, progress };
}

/** No request fits the filter. */
export function noMatchState(total, q, showAll) {
  const there = total === 1 ? "1 request is" : `${count(total)} requests are`;
  return h("div.calm", {},
    h("h1", {}, "No request matches"),
    h("p", {}, `${there} in the store; none fits “${q}”.`),
    h("button.btn.line", { type: "button", onclick: showAll }, "Show all"));
}

/** What could not be shown at all: no such request, a store that cannot be read. */
export function errorState(error) {
  return h("div.calm", {},
    h("h1", {}, error.status === 404 ? "Not in this store" : "This cannot be shown"),
    h("p", {}, error.message),
    error.cure ? h("p", {}, error.cure) : null,
    h("a.btn.line", { href: "#/" }, "All requests"));
}

/** The store is gone: what is wrong, until when it was read, and when the next try is. */
export function goneBanner(source, path, error) {
  let left = RETRY_STORE_S;
  const words = h("span.mid.next", {}, "");
  const tryNow = () => {
    left = RETRY_STORE_S;
    source.about().catch(() => {});
  };
  const countDown = () => {
    if (left <= 0) tryNow();
    words.textContent = `Next try in ${left} s`;
    left--;
  };
  countDown();
  const timer = setInterval(countDown, 1000);
  const what = String(error ?? "").includes(path) ? "" : path;
  const element = h("div.banner", { role: "alert" }, icon("plug"),
    h("span.says", {}, h("span.strong", {}, "The store cannot be read any more. "),
      h("span.mid", {}, what ? [h("code", {}, what), ": "] : null, error ?? "it does not answer",
        `. What you see was read until ${clock(source.readAt)} UTC.`)),
    h("span.acts", {}, words,
      h("button.btn.line", { type: "button", onclick: tryNow }, "Try now")));
  return { element, close: () => clearInterval(timer) };
}

/** The server has ended: what is on the page stays, and how to start it again. */
export function endedBanner(path) {
  const again = `python -m instrument view${path ? ` ${path}` : ""}`;
  const element = h("div.banner", { role: "alert" }, icon("plug"),
    h("span.says", {}, h("code.strong", {}, "python -m instrument view"),
      h("span.strong", {}, " has ended. "),
      h("span.mid", {}, "What you see stays. Start it again: "), h("code", {}, again)),
    h("span.acts", {},
      h("button.btn.line", { type: "button", onclick: () => copyText(again) }, "Copy")));
  return { element, close() {} };
}
