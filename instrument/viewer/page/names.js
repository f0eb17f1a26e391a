/** Runs by name: how often, how long (median and p95), how many failed, what it cost. */

import { fill, h, icon, isPhone, kindIcon } from "./dom.js";
import { count, durationEl, money, tokens } from "./format.js";
import { FilterBar, SLOW, exactWord, filterWords, listHash } from "./filters.js";
import { Rows } from "./rows.js";
import { emptyState, errorState, noMatchState } from "./states.js";

const figure = (classes, write, key) => ({ classes: `num ${classes}`, key, write });
const NAME_COLUMNS = [
  { label: "Name", classes: "c-name", key: "name" },
  { label: "Model", classes: "c-model", key: "model" },
  { label: "Runs", ...figure("c-runs", count, "runs") },
  { label: "Failed", ...figure("c-failed", count, "errors") },
  { label: "Median", ...figure("c-p", durationEl, "p50_ms") },
  { label: "p95", ...figure("c-p", durationEl, "p95_ms") },
  { label: "First token", ...figure("c-first", durationEl, "first_token_p50_ms"),
    title: "Median of the time to the first token" },
  { label: "Added up", ...figure("c-total", durationEl, "total_ms") },
  { label: "Tokens in", ...figure("c-tok", tokens, "input_tokens") },
  { label: "Tokens out", ...figure("c-tok", tokens, "output_tokens") },
  { label: "Cost", ...figure("c-cost", money, "cost_usd") },
];
const TEXT_KEYS = ["name", "model"];

/** Rows in the order of one column: texts from A on, figures from the largest on. */
function sortedBy(rows, key, turned) {
  const sign = turned ? -1 : 1;
  return [...rows].sort((a, b) => {
    if (a[key] == null || b[key] == null) return (a[key] == null) - (b[key] == null);
    const order = TEXT_KEYS.includes(key) ? a[key].localeCompare(b[key]) : b[key] - a[key];
    return order * sign;
  });
}

class NameTable {
  constructor(ctx) {
    this.ctx = ctx;
    this.source = ctx.source;
    this.key = "total_ms";
    this.turned = false;
    this.at = -1;
    this.turn = 0;
    this.items = [];
    this.filter = new FilterBar(ctx, () => this.load());
    this.body = h("div.page", {});
    this.element = h("section.page", { "aria-label": "By name" }, this.filter.element, this.body);
    ctx.bar([h("a.mid", { href: listHash(ctx.route.q) }, "Requests"),
      h("span.strong", {}, "By name")]);
    this.keys = this.makeKeys();
    this.load();
  }

  async load() {
    const turn = ++this.turn;
    const { q } = this.filter;
    try {
      const [items, all, slow] = await Promise.all([
        this.source.names(q), this.source.summary(""), this.source.summary(SLOW),
      ]);
      if (turn !== this.turn) return;
      this.filter.setError(null);
      this.filter.setCounts(all, slow.requests);
      this.items = items;
      this.layout(all.total ?? all.requests);
    } catch (error) {
      if (turn !== this.turn) return;
      if (error.status === 400) this.filter.setError(error);
      else fill(this.body, errorState(error));
    }
  }

  layout(total) {
    this.rows?.close();
    this.rows = null;
    if (!total) return fill(this.body, emptyState(this.source));
    if (!this.items.length) {
      return fill(this.body, noMatchState(total, this.filter.q, () => this.filter.set("")));
    }
    this.scroll = h("div.scroll", { role: "rowgroup", tabindex: "-1" });
    this.head = h("div.head.cols", { role: "row" });
    this.grid = h("section.names.page", {
      role: "grid", tabindex: "0", "aria-label": "Runs by name",
      "aria-rowcount": this.items.length,
    }, this.head, this.scroll);
    fill(this.body, this.grid);
    this.rows = new Rows(this.scroll, () => (isPhone() ? 44 : 28), (row, i) => this.row(row, i));
    return this.sort(this.key, this.turned);
  }

  sort(key, turned) {
    this.key = key;
    this.turned = turned;
    this.items = sortedBy(this.items, key, turned);
    this.at = -1;
    fill(this.head, NAME_COLUMNS.map((column) => this.heading(column)));
    this.rows.set(this.items);
  }

  heading({ label, classes, key, title }) {
    const on = key === this.key;
    const falling = TEXT_KEYS.includes(key) === this.turned;
    const order = falling ? "descending" : "ascending";
    return h("div", { class: classes, role: "columnheader", "aria-sort": on ? order : null },
      h("button.sort", {
        type: "button", title: title ?? `Sort by ${label.toLowerCase()}`,
        onclick: () => this.sort(key, on && !this.turned),
      }, on ? icon("up", falling ? "turned" : "") : null, label));
  }

  row(row, index) {
    const figures = NAME_COLUMNS.slice(2).map(({ classes, key, write }) => {
      const bad = key === "errors" && row.errors;
      const tone = bad ? "err" : key === "errors" ? "dim" : "";
      return h("div", { class: `${classes} ${tone}`, role: "gridcell" }, write(row[key]));
    });
    return h("a.rowx.cols", {
      role: "row", id: `name-${index}`, tabindex: "-1", "aria-rowindex": index + 1,
      href: this.hashOf(row), "aria-selected": String(index === this.at),
    },
    h("div.name.c-name", { role: "gridcell" }, kindIcon(row.kind),
      h("span.cut", { title: row.name }, row.name)),
    h("div.c-model.cut.dim", { role: "gridcell", title: row.model }, row.model ?? ""),
    figures);
  }

  hashOf(row) {
    const words = filterWords(this.filter.q).filter((word) => !word.startsWith("name:"));
    return listHash([...words, exactWord("name", row.name)].join(" "));
  }

  select(index) {
    if (!this.rows) return;
    const to = Math.max(0, Math.min(this.items.length - 1, index));
    const from = this.at;
    this.at = to;
    this.rows.redrawRow(from);
    this.rows.redrawRow(to);
    this.rows.show(to);
    this.grid.setAttribute("aria-activedescendant", `name-${to}`);
  }

  makeKeys() {
    const move = (by) => () => this.select(this.at + by);
    const open = () => this.items[this.at] && this.ctx.go(this.hashOf(this.items[this.at]));
    return {
      j: move(1), k: move(-1), ArrowDown: move(1), ArrowUp: move(-1),
      Home: () => this.select(0), End: () => this.select(this.items.length - 1),
      Enter: open, ArrowRight: open,
      "/": () => this.filter.focus(),
      Escape: () => (this.filter.q ? this.filter.set("") : this.ctx.go("#/")),
    };
  }

  close() {
    this.turn++;
    this.filter.close();
    this.rows?.close();
  }
}

/** The table of runs by kind, name and model, under the filter of the route. */
export function namesView(ctx) {
  const table = new NameTable(ctx);
  return {
    element: table.element, keys: table.keys,
    close: () => table.close(), refresh: () => table.load(),
  };
}
