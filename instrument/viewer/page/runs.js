/**
 * The left pane of a request: its runs as rows beside their lanes, with what finds, hides, folds
 * and counts them, and the cursor that walks over them.
 */
import { fill, h, icon, kindIcon, statusIcon } from "./dom.js";
import { count, counted, duration, durationEl, percentile } from "./format.js";
import { isModel, Lanes } from "./lanes.js";
import { Rows } from "./rows.js";
import { reveal, rowsOf, TreeView } from "./tree.js";

const PHONE_WIDTH = 700;
const ROW_HEIGHT = 28;
const PHONE_ROW_HEIGHT = 44;
const PHONE_EDGES = 24;
const MOST_GUIDES = 10;
const MAP_REST_MS = 500;

/**
 * `on.run(run, {pressed})` and `on.group(runs)` hear what the cursor has come to by hand; `extra`
 * is one more button among the tools.
 */
export class RunsPane {
  constructor({ tree, app, extra, on }) {
    Object.assign(this, { tree, app, on });
    this.view = new TreeView(tree);
    this.width = app.clientWidth;
    this.scroll = h("div.scroll", { role: "treegrid", "aria-label": "Runs", tabindex: "0" });
    this.scroll.addEventListener("click", (event) => this.clicked(event));
    this.foot = h("div.foot");
    this.element = h("section.left.tree", { "aria-label": "Runs" });
    this.lanes = new Lanes(tree, this.element, {
      changed: () => this.draw(),
      laneWidth: () => this.laneWidth ?? 400,
    });
    fill(
      this.element,
      h("div.band.cols", {}, this.tools(extra), this.lanes.map),
      h("div.head.cols", { "aria-hidden": "true" }, h("div", {}, "Run"),
        h("div.num", {}, "Duration"), this.lanes.ruler),
      this.scroll,
      this.foot,
    );
    this.rows = new Rows(this.scroll, () => this.rowHeight(), (row, i) => this.rowElement(row, i));
    this.observe();
  }

  observe() {
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.lanes.ruler);
    this.observer.observe(this.app);
    this.onTheme = () => this.lanes.drawMap();
    addEventListener("themechange", this.onTheme);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.onTheme);
  }

  close() {
    this.rows.close();
    this.observer.disconnect();
    removeEventListener("themechange", this.onTheme);
    this.scheme.removeEventListener("change", this.onTheme);
  }

  tools(extra) {
    this.find = h("input", {
      type: "search", placeholder: "Find runs, or -embed, kind:tool", spellcheck: "false",
      autocomplete: "off", "aria-label": "Find runs; a minus before a word hides",
    });
    this.find.addEventListener("input", () => this.setFind(this.find.value));
    this.share = h("button.btn", {
      "aria-pressed": "false", onclick: () => this.setShare(!this.view.share),
      title: "Only runs that took more than 2 % of the request, failed, or are running",
    }, "> 2 %");
    this.collapse = h("button.btn.w-md", { onclick: () => this.collapseAll() });
    const search = h("label.search", {}, icon("search"), this.find, h("kbd.w-md", {}, "/"));
    return h("div.tools", {}, search, this.share, this.collapse, extra);
  }

  get isPhone() {
    return this.width <= PHONE_WIDTH;
  }

  rowHeight() {
    return this.isPhone ? PHONE_ROW_HEIGHT : ROW_HEIGHT;
  }

  resized() {
    this.width = this.app.clientWidth;
    const ruler = this.lanes.ruler.clientWidth || 400;
    this.laneWidth = this.isPhone ? this.width - PHONE_EDGES : ruler;
    this.lanes.place();
    this.lanes.drawMap();
    this.rows.redraw();
  }

  /** Draw the rows again, as the tree and what was asked for have them now. */
  draw() {
    const { rows, counts } = rowsOf(this.tree, this.view);
    this.counts = counts;
    this.scroll.setAttribute("aria-rowcount", rows.length);
    this.lanes.place();
    this.rows.set(rows);
    this.drawFoot();
    this.lanes.drawMap();
    this.share.setAttribute("aria-pressed", String(this.view.share));
    const { collapsed } = this.view;
    fill(this.collapse, collapsed ? "Expand" : "Collapse");
    const closes = "Close everything below the first level";
    this.collapse.title = collapsed ? "Open every branch" : closes;
  }

  /** Figures and bars that run. */
  tick() {
    this.lanes.place();
    this.rows.each((element, row) => {
      const figure = element.querySelector(".figure");
      if (figure) figure.replaceChildren(durationEl(this.tree.durationOf(row.run)));
    });
    if (performance.now() - (this.mapAt ?? 0) < MAP_REST_MS) return;
    this.mapAt = performance.now();
    this.lanes.drawMap();
  }

  drawFoot() {
    const { all, shown, folded, closed, hidden } = this.counts;
    const parts = [`${count(shown)} of ${counted(all, "run")}`];
    if (folded) parts.push(`${count(folded)} folded`);
    if (closed) parts.push(`${count(closed)} closed`);
    if (hidden) parts.push(`${count(hidden)} hidden by the filter`);
    const swatch = ([token, label]) =>
      h("span.lg.w-lg", {}, h("i.sw", { style: { "--c": `var(${token})` } }), label);
    const legend = [["--k-model", "model"], ["--k-tool", "tool"], ["--k-retriever", "retrieval"]];
    fill(
      this.foot,
      h("span", { role: "status" }, parts.join(", ")),
      this.view.filters
        ? h("button.btn", { onclick: () => this.showAll() }, "Show all")
        : null,
      this.lanes.zoom
        ? h("button.btn", { onclick: () => this.lanes.setZoom(null) }, "Whole time ",
            h("kbd", {}, "0"))
        : null,
      h("span.grow"),
      legend.map(swatch),
      h("span.lg.w-lg", {}, "pale: waiting for the first token"),
    );
  }

  rowElement(row, index) {
    return row.group ? this.groupRow(row, index) : this.runRow(row, index);
  }

  rowBase(row, index, open, properties, cell, took, bars) {
    const guides = Array.from({ length: Math.min(row.depth, MOST_GUIDES) }, () => h("i"));
    const twist = open === null
      ? h("span.twist")
      : h("span.twist.can", { class: open ? "open" : "" }, icon("right"));
    return h(
      "div.rowx.cols",
      {
        role: "row",
        id: rowId(row),
        "aria-level": row.depth + 1,
        "aria-rowindex": index + 1,
        "aria-expanded": open === null ? null : String(open),
        "aria-selected": String(row.key === this.cursor),
        ...properties,
      },
      h("div.cell", { role: "gridcell" }, h("span.guides", {}, guides), twist, cell),
      h("div.cell.num.dcell", { role: "gridcell" }, took),
      h("div.lane", { role: "gridcell" }, bars),
    );
  }

  runRow(row, index) {
    const { run } = row;
    const { tree } = this;
    const [hint, bad] = this.hintOf(row);
    const running = run.status === "running";
    const title = bad ? [run.error_type, run.error_message].filter(Boolean).join(": ") : hint;
    const cell = [
      run.status === "ok" ? kindIcon(run.kind) : statusIcon(run.status),
      h("span.nm.cut", { title: run.name }, run.name),
      h("span.what.cut", { class: bad ? "err" : "", title: title || null }, hint),
    ];
    const took = h("span", { class: running ? "s-running figure" : "" },
      durationEl(tree.durationOf(run)));
    const open = row.children ? !row.closed : null;
    const properties = { class: row.children ? "" : "leaf" };
    return this.rowBase(row, index, open, properties, cell, took, this.lanes.bar(run));
  }

  /** The one hint beside a name, and whether it tells of trouble. */
  hintOf({ run, closed }) {
    const parts = [];
    if (run.error_type) {
      parts.push(run.error_type.split(".").pop() + (run.passed_on ? ", passed on" : ""));
    } else if (isModel(run) || run.model) {
      parts.push(run.model);
    } else if (run.hint) parts.push(run.hint);
    if (closed) parts.push(`${count(this.tree.below(run).length)} below`);
    if (run.retries) parts.push(counted(run.retries, "retry", "retries"));
    return [parts.filter(Boolean).join(", "), Boolean(run.error_type)];
  }

  groupRow(row, index) {
    const { group } = row;
    const took = group.map((run) => run.duration_ms);
    const ends = group.map((run) => this.tree.endOf(run));
    const last = ends.reduce((a, b) => Math.max(a, b));
    const median = duration(percentile(took, 0.5));
    const cell = [
      kindIcon(group[0].kind),
      h("span.nm.cut", { title: group[0].name }, group[0].name),
      h("span.what.cut", { title: groupTitle(group) }, `× ${count(group.length)}`,
        h("span.w-lg", {}, `, median ${median}`)),
    ];
    const from = durationEl(last - group[0].start_ms);
    const bars = this.lanes.groupBars(group);
    return this.rowBase(row, index, row.open, {}, cell, from, bars);
  }

  indexOfCursor() {
    const { items } = this.rows;
    const at = items.findIndex((row) => row.key === this.cursor);
    if (at >= 0 || !this.selected) return at;
    const above = new Set([this.selected, ...this.tree.above(this.selected)]);
    return items.findLastIndex((row) =>
      row.group ? row.group.some((run) => above.has(run)) : above.has(row.run));
  }

  /** The run that was selected last, as the tree has it now. */
  get selected() {
    return this.tree.byId.get(this.selectedId);
  }

  /** Go to a run, opening what stands before it. */
  reveal(run) {
    const { text } = this.view;
    reveal(this.tree, this.view, run);
    if (this.view.text !== text) this.find.value = this.view.text;
    this.selectedId = run.run_id;
    this.cursor = run.run_id;
    this.draw();
    this.showCursor();
  }

  /** Put the cursor on a row that is there: by mouse or by key. */
  selectRow(index, pressed = false) {
    const row = this.rows.items[index];
    if (!row) return;
    const before = this.indexOfCursor();
    this.cursor = row.key;
    if (before >= 0) this.rows.redrawRow(before);
    this.rows.redrawRow(index);
    this.showCursor();
    if (row.run) this.selectedId = row.run.run_id;
    if (row.run) this.on.run(row.run, { pressed });
    else this.on.group(row.group);
  }

  showCursor() {
    const index = this.rows.items.findIndex((row) => row.key === this.cursor);
    if (index < 0) return;
    this.rows.show(index);
    this.scroll.setAttribute("aria-activedescendant", rowId(this.rows.items[index]));
  }

  clicked(event) {
    const top = this.scroll.getBoundingClientRect().top - this.scroll.scrollTop;
    const index = Math.floor((event.clientY - top) / this.rowHeight());
    const row = this.rows.items[index];
    if (!row) return;
    if (row.group || event.target.closest(".twist.can")) {
      if (row.group) this.selectRow(index);
      this.turn(row);
      return;
    }
    this.selectRow(index, true);
  }

  /** Open what is closed, close what is open. */
  turn(row) {
    if (row.group) {
      if (row.open) this.view.unfolded.delete(row.key);
      else this.view.unfolded.add(row.key);
    } else this.view.setClosed(row.run, !row.closed);
    this.draw();
  }

  move(step) {
    const at = this.indexOfCursor();
    const to = Math.max(0, Math.min(this.rows.items.length - 1, at + step));
    if (to !== at || this.cursor !== this.rows.items[at]?.key) this.selectRow(to);
  }

  goLeft() {
    const at = this.indexOfCursor();
    const row = this.rows.items[at];
    if (!row) return;
    if (row.group ? row.open : row.children && !row.closed) {
      this.turn(row);
      return;
    }
    const above = this.rows.items.slice(0, at).findLastIndex((one) => one.depth < row.depth);
    if (above >= 0) this.selectRow(above);
  }

  goRight() {
    const at = this.indexOfCursor();
    const row = this.rows.items[at];
    if (!row) return;
    if (row.group ? !row.open : row.closed) this.turn(row);
    else if (row.group || row.children) this.selectRow(at + 1);
  }

  setFind(text) {
    this.view.find(text);
    this.draw();
    this.showCursor();
  }

  setShare(share) {
    this.view.share = share;
    this.draw();
    this.showCursor();
  }

  /** Whether something is hidden, or only a stretch of time is looked at. */
  get narrowed() {
    return this.view.filters || this.lanes.zoom !== null;
  }

  showAll() {
    this.lanes.zoom = null;
    this.view.share = false;
    this.find.value = "";
    this.setFind("");
  }

  hideName() {
    const name = this.selected?.name;
    if (!name) return;
    const word = /[\s"]/.test(name) ? `-name:"${name.replaceAll('"', "")}"` : `-name:${name}`;
    this.find.value = `${this.find.value} ${word}`.trim();
    this.setFind(this.find.value);
  }

  collapseAll() {
    this.view.collapsed = !this.view.collapsed;
    this.view.closed.clear();
    if (this.view.collapsed) this.view.closeAll(this.tree);
    this.draw();
    this.showCursor();
  }
}

const rowId = (row) => `row-${row.key}`;

function groupTitle(group) {
  const took = group.map((run) => run.duration_ms);
  const added = duration(took.reduce((a, b) => a + b, 0));
  const [median, p95] = [0.5, 0.95].map((share) => duration(percentile(took, share)));
  return `added up ${added}, median ${median}, p95 ${p95}`;
}
