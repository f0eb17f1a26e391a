/**
 * The list of requests, newest first: is it broken, what is it, is it mine, what did it cost.
 * Rows follow what happens; nothing that is being read is pushed away by what is new.
 */

import { fill, h, icon, isPhone, kindIcon, statusIcon, toast } from "./dom.js";
import {
  UNKNOWN, ago, count, counted, duration, durationEl, moment, money, percentile, tokens,
} from "./format.js";
import { FilterBar, SLOW, filterWords } from "./filters.js";
import { Rows } from "./rows.js";
import { emptyState, errorState, noMatchState, openingState } from "./states.js";
import { drawStrip } from "./strip.js";

const PAGE_ROWS = 200;
const SUMS_MS = 2000; // sums and counts follow at most that often,
const SUMS_SHARE = 10; // and take the store no more than a tenth of the time
const TICK_MS = 100; // running figures
const OPENING_MS = 150; // quicker than that, nothing is said

const COLUMNS = [
  ["c-status", ""],
  ["c-name", "Request"],
  ["c-said", "Asked, or what went wrong"],
  ["c-user", "User"],
  ["c-model", "Model"],
  ["c-tok num", "Tokens in → out"],
  ["c-cost num", "Cost"],
  ["c-dur", "Duration"],
  ["c-when num", "Started"],
];

const cell = (classes, ...kids) => h("div", { class: classes, role: "gridcell" }, ...kids);

function saidCell(row) {
  if (row.status !== "error" || !row.error_type) {
    return cell("c-said cut", h("span.said", { title: row.said }, row.said ?? ""));
  }
  const whole = `${row.error_type}: ${row.error_message ?? ""}`;
  return cell("c-said cut", h("span", { title: whole },
    h("span.err.strong", {}, row.error_type.split(".").pop()), " ",
    h("span.mid", {}, row.error_message ?? "")));
}

function modelCell(row) {
  const more = (row.models ?? 1) - 1;
  const title = more > 0 ? `${row.model} and ${counted(more, "other model")}` : row.model;
  return cell("c-model dim", h("span.cut", { title }, row.model ?? ""),
    more > 0 ? h("span", { title }, `+${more}`) : null);
}

function tokensCell(row) {
  if (row.input_tokens == null && row.output_tokens == null) return cell("c-tok num dim", UNKNOWN);
  const out = row.output_tokens == null ? "" : ` → ${tokens(row.output_tokens)}`;
  return cell("c-tok num dim", tokens(row.input_tokens) + out);
}

function costCell(row) {
  const unpriced = row.cost_usd != null && row.unpriced;
  const title = unpriced ? `and ${counted(row.unpriced, "call")} without a price` : null;
  return cell("c-cost num dim", h("span", { title }, money(row.cost_usd), unpriced ? "+" : ""));
}

const elapsed = (row) => row.duration_ms ?? Math.max(0, Date.now() - row.started_ms);

function durationCell(row, usual) {
  const running = row.status === "running";
  const share = Math.min(1, (row.duration_ms ?? 0) / usual);
  const over = row.duration_ms > usual ? "over" : "";
  const known = running || row.duration_ms != null;
  return cell("c-dur", h("div.dur", { title: running ? "running" : duration(row.duration_ms) },
    h("span.num.figure", { class: running ? "s-running" : "" },
      durationEl(known ? elapsed(row) : null)),
    h("span.track", {}, running || row.duration_ms == null ? null : h("span.fill", {
      class: over, style: { width: `${Math.max(3, share * 100)}%` },
    }))));
}

class RequestList {
  constructor(ctx) {
    this.ctx = ctx;
    this.source = ctx.source;
    this.memory = ctx.memory;
    this.memory.picked ??= [];
    this.items = [];
    this.waiting = []; // what came while one read further down
    this.turn = 0;
    this.sumsMs = SUMS_MS;
    this.opened = false;
    this.filter = new FilterBar(ctx, () => this.load());
    this.strip = h("section.strip", { "aria-label": "What is shown, summed up" });
    this.body = h("div.page", {});
    this.tray = h("div.tray-area", {});
    this.element = h("section.page", { "aria-label": "Requests" },
      this.filter.element, this.body, this.tray);
    this.filter.element.hidden = true; // until it is known that there is something to filter
    ctx.bar([h("span.strong", {}, "Requests")]);
    this.keys = this.makeKeys();
    this.drawTray();
    this.load();
  }

  async load() {
    const turn = ++this.turn;
    const { q } = this.filter;
    const waits = setTimeout(() => turn === this.turn && this.showOpening(), OPENING_MS);
    const summary = this.source.summary(q); // of many requests it comes later than the rows
    const old = setTimeout(() => turn === this.turn && fill(this.strip), OPENING_MS);
    summary.then(() => this.progress?.(), () => {}).finally(() => clearTimeout(old));
    try {
      const page = await this.source.requests(q, { limit: PAGE_ROWS });
      this.progress?.();
      const summed = page.requests.length ? null : await summary;
      if (turn !== this.turn) return;
      this.show(page, summed);
      this.drawSums(await summary, turn);
    } catch (error) {
      if (turn === this.turn) this.fail(error);
    } finally {
      clearTimeout(waits);
    }
  }

  showOpening() {
    if (this.opened) return;
    const opening = openingState(this.source, 3);
    this.progress = opening.progress;
    fill(this.body, opening.element);
  }

  fail(error) {
    if (error.status === 400) {
      this.filter.element.hidden = false;
      this.filter.setError(error);
    }
    if (this.opened) return;
    fill(this.body, error.status === 400 ? null : errorState(error));
  }

  show(page, summed) {
    this.opened = true;
    this.progress = null;
    this.filter.setError(null);
    this.items = page.requests;
    this.byKey = new Map(this.items.map((row) => [row.key, row]));
    this.waiting = [];
    this.whole = page.requests.length < PAGE_ROWS;
    this.layout(summed);
    this.watch?.close();
    this.watch = this.source.watchList(this.filter.q, page.cursor, {
      requests: (data) => this.changed(data.requests),
    });
  }

  drawSums(summary, turn) {
    if (turn !== this.turn) return;
    drawStrip(this.strip, summary);
    this.grid?.setAttribute("aria-rowcount", summary.requests);
    this.drawCounts(summary);
  }

  async drawCounts(summary) {
    try {
      const reads = [this.filter.q ? this.source.summary("") : summary, this.source.summary(SLOW)];
      const [all, slow] = await Promise.all(reads);
      this.filter.setCounts(all, slow.requests);
    } catch {
      // the page is not less for it; what is wrong is said where rows are read
    }
  }

  async more() {
    if (this.whole || this.reading || !this.items.length) return;
    this.reading = true;
    const { turn } = this;
    try {
      const before = this.items.at(-1).key;
      const page = await this.source.requests(this.filter.q, { before, limit: PAGE_ROWS });
      if (turn !== this.turn) return;
      this.whole = page.requests.length < PAGE_ROWS;
      const fresh = page.requests.filter((row) => !this.byKey.has(row.key));
      for (const row of fresh) this.byKey.set(row.key, row);
      this.items = [...this.items, ...fresh];
      this.setRows();
    } catch {
      // asked again at the next scroll
    } finally {
      this.reading = false;
    }
  }

  fits(row) {
    const word = filterWords(this.filter.q).find((one) => one.startsWith("status:"));
    return !word || word.slice("status:".length) === row.status;
  }

  changed(rows) {
    if (!rows.length) return;
    const fresh = [];
    for (const row of rows) {
      const known = this.byKey.has(row.key);
      if (!known && this.fits(row)) fresh.push(row);
      if (known || this.fits(row)) this.byKey.set(row.key, row);
    }
    this.items = this.items.map((row) => this.byKey.get(row.key)).filter((row) => this.fits(row));
    this.waiting = [...fresh, ...this.waiting.map((row) => this.byKey.get(row.key))];
    this.waiting.sort((a, b) => b.key - a.key);
    if (!this.rows || this.scroll.scrollTop <= 0) this.takeWaiting();
    else this.setRows();
    this.sumsLater();
  }

  takeWaiting() {
    this.items = [...this.waiting, ...this.items].sort((a, b) => b.key - a.key);
    this.waiting = [];
    if (this.rows) this.setRows();
    else this.load();
  }

  sumsLater() {
    this.sums ??= setTimeout(async () => {
      const { turn } = this;
      const asked = performance.now();
      const summary = await this.source.summary(this.filter.q).catch(() => null);
      this.sumsMs = Math.max(SUMS_MS, SUMS_SHARE * (performance.now() - asked));
      this.sums = null;
      if (summary) this.drawSums(summary, turn);
    }, this.sumsMs);
  }

  tick() {
    if (this.source.state !== "live") return; // then nothing is known of what runs
    this.ticks = (this.ticks ?? 0) + 1;
    this.rows?.each((element, row) => {
      if (row.status === "running") {
        fill(element.querySelector(".figure"), durationEl(elapsed(row)));
      }
      if (this.ticks % 10) return;
      const when = element.querySelector(".c-when span");
      const said = ago(row.started_ms);
      if (when.textContent !== said) when.textContent = said;
    });
  }

  /** Show the rows; where there are none, say of which store by its summary. */
  layout(summed) {
    const { q } = this.filter;
    this.rows?.close();
    this.rows = null;
    this.filter.element.hidden = !this.items.length && !summed.total && !q;
    if (this.filter.element.hidden) return fill(this.body, emptyState(this.source));
    if (!this.items.length) {
      return fill(this.body, noMatchState(summed.total, q, () => this.filter.set("")));
    }
    this.makeGrid();
    fill(this.body, this.strip, this.grid);
    this.rows = new Rows(this.scroll, () => (isPhone() ? 64 : 34), (row, i) => this.row(row, i));
    this.setRows();
    const at = this.index();
    if (at >= 0) this.rows.show(at);
    return this.body;
  }

  makeGrid() {
    this.scroll = h("div.scroll", {
      role: "rowgroup", tabindex: "-1", onscroll: () => this.scrolled(),
    });
    this.fresh = h("button.btn.go.fresh", {
      type: "button", hidden: true, onclick: () => this.toTop(),
    });
    this.grid = h("section.list.page", {
      role: "grid", tabindex: "0", "aria-label": "Requests, newest first",
      "aria-rowcount": this.whole ? this.items.length : -1, "aria-colcount": COLUMNS.length,
    },
    h("div.head.cols", { role: "row" }, COLUMNS.map(([classes, label]) =>
      h("div", { class: classes, role: "columnheader", "aria-label": label || "Status" }, label))),
    this.scroll, this.fresh);
  }

  setRows() {
    const known = this.items.map((row) => row.duration_ms).filter((ms) => ms != null);
    this.usual = percentile(known, 0.9) || 1;
    this.rows.set(this.items);
    const { length } = this.waiting;
    this.fresh.hidden = !length;
    fill(this.fresh, icon("up"), `${length} new`);
  }

  scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.scroll;
    if (scrollTop <= 0 && this.waiting.length) this.takeWaiting();
    if (scrollTop + 2 * clientHeight > scrollHeight) this.more();
  }

  toTop() {
    this.scroll.scrollTop = 0;
    this.takeWaiting();
    this.grid.focus();
  }

  row(row, index) {
    const selected = row.key === this.memory.at;
    return h("a.rowx.cols", {
      role: "row", id: `row-${row.key}`, href: `#/r/${row.trace_id}`, tabindex: "-1",
      "aria-selected": String(selected), "aria-rowindex": index + 1,
      onclick: () => { this.memory.at = row.key; },
    },
    cell("c-status", statusIcon(row.status)),
    cell("name", this.pickMark(row), h("span.cut", { title: row.name }, row.name)),
    saidCell(row),
    cell("c-user cut dim", h("span", { title: row.user }, row.user ?? "")),
    modelCell(row), tokensCell(row), costCell(row),
    durationCell(row, this.usual),
    cell("c-when num dim", h("span", { title: moment(row.started_ms) }, ago(row.started_ms))));
  }

  pickMark(row) {
    const place = this.memory.picked.findIndex((one) => one.key === row.key);
    const mark = place < 0 ? kindIcon(row.kind) : h("span.ab", { class: "ab".at(place) },
      "AB".at(place));
    const title = `${String(row.kind).replace("_", " ")}; pick for side by side (x)`;
    return h("span.pick", {
      title, onclick: (event) => {
        event.preventDefault();
        event.stopPropagation();
        this.pick(row);
      },
    }, mark);
  }

  drawTray() {
    const { picked } = this.memory;
    if (!picked.length) return fill(this.tray);
    const [a, b] = picked;
    return fill(this.tray, h("div.tray", { role: "status" },
      b ? "Two picked" : h("span", {}, "One picked. Press ", h("kbd", {}, "x"), " on another."),
      b ? h("a.btn.go", { href: `#/vs/${a.trace_id}/${b.trace_id}` }, "Side by side") : null,
      h("button.btn.square", {
        type: "button", "aria-label": "Put back", onclick: () => this.putBack(),
      }, icon("x"))));
  }

  index() {
    return this.items.findIndex((row) => row.key === this.memory.at);
  }

  select(index) {
    if (!this.rows || !this.items.length) return;
    const to = Math.max(0, Math.min(this.items.length - 1, index));
    const from = this.index();
    this.memory.at = this.items[to].key;
    this.rows.redrawRow(from);
    this.rows.redrawRow(to);
    this.rows.show(to);
    this.grid.setAttribute("aria-activedescendant", `row-${this.memory.at}`);
    if (to + PAGE_ROWS / 4 > this.items.length) this.more();
  }

  open() {
    const row = this.items[this.index()];
    if (row) this.ctx.go(`#/r/${row.trace_id}`);
  }

  nextError(step) {
    const { length } = this.items;
    const start = this.index();
    for (let n = 1; n <= length; n++) {
      const index = (((start < 0 && step < 0 ? 0 : start) + n * step) % length + length) % length;
      if (this.items[index].status === "error") return this.select(index);
    }
    return toast(this.whole
      ? "Nothing here has failed" : `None of the newest ${count(length)} has failed`);
  }

  pick(row) {
    const { picked } = this.memory;
    const there = picked.some((one) => one.key === row.key);
    this.memory.picked = there
      ? picked.filter((one) => one.key !== row.key)
      : [...picked.slice(-1), { key: row.key, trace_id: row.trace_id }];
    this.rows.redraw();
    this.drawTray();
  }

  putBack() {
    this.memory.picked = [];
    this.rows?.redraw();
    this.drawTray();
  }

  back() {
    if (this.filter.q) this.filter.set("");
    else if (this.memory.picked.length) this.putBack();
  }

  makeKeys() {
    const move = (by) => () => this.select(this.index() + by);
    const page = () => Math.max(1, Math.floor((this.scroll?.clientHeight ?? 0) / 34) - 1);
    return {
      j: move(1), k: move(-1), ArrowDown: move(1), ArrowUp: move(-1),
      PageDown: () => this.select(this.index() + page()),
      PageUp: () => this.select(this.index() - page()),
      Home: () => this.select(0), End: () => this.select(this.items.length - 1),
      Enter: () => this.open(), ArrowRight: () => this.open(),
      e: () => this.nextError(1), E: () => this.nextError(-1),
      x: () => this.items.length && this.pick(this.items[Math.max(0, this.index())]),
      "/": () => this.filter.focus(),
      Escape: () => this.back(),
    };
  }

  close() {
    this.closed = true;
    this.turn++;
    this.filter.close();
    this.watch?.close();
    this.rows?.close();
    clearInterval(this.ticker);
    clearTimeout(this.sums);
  }
}

/** The list of requests under the filter of the route. */
export function listView(ctx) {
  const list = new RequestList(ctx);
  list.ticker = setInterval(() => list.tick(), TICK_MS);
  return {
    element: list.element, keys: list.keys, close: () => list.close(), refresh: () => list.load(),
  };
}
