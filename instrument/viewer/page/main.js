/**
 * The page: its bar, its routes (what stands after # is all that a colleague needs to see the
 * same), the keyboard, light and dark. A view is `xView(ctx) -> {element, keys, close()}`.
 */

import { fill, h, icon } from "./dom.js";
import { bytes, count } from "./format.js";
import { Packed } from "./packed.js";
import { Server } from "./source.js";
import { listView } from "./list.js";
import { namesView } from "./names.js";
import { requestView } from "./request.js";
import { compareView } from "./compare.js";
import { endedBanner, errorState, goneBanner } from "./states.js";
import { showHelp } from "./help.js";

const VIEWS = { list: listView, names: namesView, request: requestView, compare: compareView };
const THEME_KEY = "instrument-theme";

/**
 * Read a hash. `#/r/ID/RUN/TAB?q=words` is
 * `{name: "request", id, run, tab, q}`; `#/vs/A/B` is `{name: "compare", a, b}`.
 */
function parsed(hash) {
  const [path, search] = hash.replace(/^#/, "").split("?");
  const [first, ...rest] = path.split("/").filter(Boolean).map(decodeURIComponent);
  const q = new URLSearchParams(search ?? "").get("q") ?? "";
  if (first === "r" && rest.length) {
    return { name: "request", id: rest[0], run: rest[1], tab: rest[2], q };
  }
  if (first === "vs" && rest.length > 1) return { name: "compare", a: rest[0], b: rest[1], q };
  return { name: first === "names" ? "names" : "list", q };
}

function storedTheme() {
  try {
    return localStorage.getItem(THEME_KEY);
  } catch {
    return null; // storage is refused in a sandboxed frame and by some settings
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(THEME_KEY, theme);
  } catch {
    // then it is remembered as long as the page is open
  }
  dispatchEvent(new Event("themechange"));
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

const DOT_WORDS = { opening: "opening", live: "live", gone: "not reachable", ended: "ended" };

class Page {
  constructor(app, source) {
    this.app = app;
    this.source = source;
    this.hash = location.hash || "#/";
    this.about = {};
    this.memory = {}; // what a view wants to find again: the filter, the selected row, the picks
    this.shown = null;
    this.crumbs = h("nav.crumb", { "aria-label": "Where you are" });
    this.actions = h("span.actions", {});
    this.store = h("span.store.w-md", {});
    this.notice = h("div.notice", {});
    this.main = h("main.view", { id: "view" });
    fill(app, this.bar(), this.notice, this.main);
    source.onstate = (state, detail) => this.changed(state, detail);
  }

  bar() {
    const home = this.source.single ? null : "#/";
    return h("header.top", {},
      h("a.mark", { href: home, "aria-label": "instrument: all requests" },
        icon("mark"), h("span.w-md", {}, "instrument")),
      this.crumbs, h("span.grow"), this.actions, this.source.live ? this.store : null,
      h("button.btn.square", {
        title: "Light or dark", "aria-label": "Light or dark",
        onclick: () => setTheme(isDark() ? "light" : "dark"),
      }, icon("moon")),
      h("button.btn.square", {
        title: "Keys and legend (?)", "aria-label": "Keys and legend",
        onclick: () => showHelp(this.app),
      }, "?"));
  }

  /** Say in the bar where one is (elements or texts) and what can be done there. */
  setBar(crumbs, actions = []) {
    const parts = crumbs.map((crumb, i) => [h("span.sep", { class: i ? "" : "w-md" }, "/"), crumb]);
    fill(this.crumbs, parts);
    fill(this.actions, actions);
  }

  drawStore() {
    const { state } = this.source;
    this.app.dataset.state = state;
    const { path, bytes: size, requests } = this.about;
    const file = path?.split(/[\\/]/).pop();
    this.store.title = path ? `${path}, ${bytes(size)}, ${count(requests)} requests` : "";
    fill(this.store, h("span.dot", { class: state === "live" ? "live" : "off" }), DOT_WORDS[state],
      file ? h("span.w-lg", {}, `· ${file}`) : null);
  }

  changed(state, detail) {
    const again = state === "live" && this.banner;
    this.drawStore();
    this.banner?.close();
    this.banner = null;
    if (state === "gone") this.banner = goneBanner(this.source, this.about.path, detail.error);
    if (state === "ended") this.banner = endedBanner(this.about.path);
    fill(this.notice, this.banner?.element);
    if (again) this.shown?.refresh?.();
  }

  /** Go to a hash, as a link does. */
  go(hash) {
    this.note(hash, "pushState");
    this.route();
  }

  /** Have a hash in the address bar without showing anything else. */
  note(hash, method = "replaceState") {
    this.hash = hash;
    try {
      history[method](null, "", hash);
    } catch {
      // a frame without an address of its own: the hash is kept here only
    }
  }

  async home() {
    const { requests } = await this.source.requests("");
    return `#/r/${requests[0].trace_id}`;
  }

  async route() {
    if (this.source.single && parsed(this.hash).name !== "request") this.note(await this.home());
    const route = parsed(this.hash);
    this.shown?.close?.();
    this.setBar([]);
    try {
      this.shown = VIEWS[route.name](this.context(route));
    } catch (error) {
      this.shown = { element: errorState(error), keys: {} };
      console.error(error);
    }
    fill(this.main, this.shown.element);
    this.shown.opened?.();
  }

  context(route) {
    return {
      source: this.source,
      app: this.app,
      route,
      memory: this.memory,
      go: (hash) => this.go(hash),
      note: (hash) => this.note(hash),
      bar: (crumbs, actions) => this.setBar(crumbs, actions),
    };
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    const { target, key } = event;
    if (target.matches("input, textarea, select")) {
      if (key !== "Escape" && key !== "Enter") return;
      event.preventDefault(); // a search field would empty itself on Escape
      target.blur();
      return;
    }
    if (key === "Enter" && target.matches("button, a:not(.rowx), summary")) return;
    const act = key === "?" ? () => showHelp(this.app) : this.shown?.keys?.[key];
    if (!act) return;
    event.preventDefault();
    act(event);
  }

  clicked(event) {
    const link = event.target.closest?.('a[href^="#/"]');
    const plainly = !(event.ctrlKey || event.metaKey || event.shiftKey || event.button);
    if (!link || !plainly || event.defaultPrevented) return;
    event.preventDefault(); // a frame made of srcdoc would open the page around it instead
    this.go(link.getAttribute("href"));
  }

  async start() {
    addEventListener("keydown", (event) => this.pressed(event));
    addEventListener("click", (event) => this.clicked(event));
    for (const moved of ["popstate", "hashchange"]) {
      addEventListener(moved, () => {
        if ((location.hash || "#/") === this.hash) return;
        this.hash = location.hash || "#/";
        this.route();
      });
    }
    this.drawStore();
    this.route();
    this.about = await this.source.about().catch(() => ({}));
    this.drawStore();
  }
}

/** Start the page in `#app`, on the file's own data where it has some. */
export async function start() {
  const theme = storedTheme();
  if (theme) document.documentElement.dataset.theme = theme;
  const packed = document.querySelector("#packed");
  const source = packed ? await Packed.open(packed.textContent) : new Server();
  return new Page(document.querySelector("#app"), source).start();
}

start();
