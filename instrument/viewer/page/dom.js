/**
 * Elements, icons and the two ways in which the page answers at once (a toast, the clipboard).
 * Text only ever becomes text: nothing here, or anywhere else on the page, parses HTML.
 */

const UNSEEN = new RegExp(
  "[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f" +
    "\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]|\\r(?!\\n)",
  "gu",
);

/** Text as it may be shown: controls, direction overrides and lone surrogates made visible. */
export function plain(text) {
  return text.replace(UNSEEN, (found) => {
    const code = found.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return `⟨${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

function kept(kids) {
  return kids
    .flat(9)
    .filter((kid) => kid != null && kid !== false)
    .map((kid) => (typeof kid === "object" ? kid : plain(String(kid))));
}

function setProperties(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.classList.add(...value.split(" ").filter(Boolean));
    else if (name === "style") {
      for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    } else element.setAttribute(name, value === true ? "" : plain(String(value)));
  }
}

/**
 * Make an element: `h("div.rowx.cols", {role: "row", onclick: open}, "text", child, [more])`.
 * `style` takes an object (set through CSSOM, as a CSP with a nonce allows); null and false are
 * left out.
 */
export function h(tag, properties, ...kids) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name || "div");
  if (classes.length) element.className = classes.join(" ");
  setProperties(element, properties ?? {});
  element.append(...kept(kids));
  return element;
}

/** Replace what an element holds. */
export function fill(element, ...kids) {
  element.replaceChildren(...kept(kids));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
const OUTLINES = {
  // kinds of runs
  agent: "M8 1.8l5.4 3.1v6.2L8 14.2l-5.4-3.1V4.9z",
  chain: "M3 3h10v10H3z",
  chat_model: "M2 3h12v8H7.5L4.5 13.5V11H2z",
  llm: "M3.5 3.5h9M8 3.5v9",
  tool:
    "M10.7 2.2a3.5 3.5 0 0 0-4.2 4.5L2.2 11l2.8 2.8 4.3-4.3" +
    "a3.5 3.5 0 0 0 4.5-4.2l-2.2 2.2-2.3-.8-.8-2.3z",
  retriever: "M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9zM10.3 10.3L14 14",
  embedding:
    "M3.5 3.5h.01M8 3.5h.01M12.5 3.5h.01M3.5 8h.01M8 8h.01M12.5 8h.01" +
    "M3.5 12.5h.01M8 12.5h.01M12.5 12.5h.01",
  other: "M8 3a5 5 0 1 0 0 10a5 5 0 0 0 0-10z",
  // statuses
  ok: "M3.5 8.5l3 3 6-7",
  error: "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13zM5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8",
  running: "M8 2a6 6 0 1 1-4.24 1.76",
  cancelled: "M8 2a6 6 0 1 0 0 12a6 6 0 0 0 0-12zM4 12l8-8",
  abandoned: "M8 2a6 6 0 1 0 0 12zM8 2v12",
  lost: "M8 2.2v6.3M8 12.6v.6",
  // the rest of the page
  left: "M10.5 3l-5 5 5 5",
  right: "M5.5 3l5 5-5 5",
  up: "M8 13V3.5M4 7l4-4 4 4",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9zM10.3 10.3L14 14",
  retry: "M12.5 5.5A5 5 0 1 0 13 8.5M12.8 2.5v3.2H9.6",
  custom: "M8 2l6 6-6 6-6-6z",
  x: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h8v8h-8zM3 10.5V3h7.5",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z",
  plug: "M6 2v4M10 2v4M4 6h8v2a4 4 0 0 1-8 0zM8 12v2.5",
  mark: "M2 4h12M5 8h9M8 12h4",
};

/** An icon of 14 pixels in the colour of its text; an unknown name is a circle. */
export function icon(name, classes = "") {
  const known = Object.hasOwn(OUTLINES, name) ? name : "other";
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `icon i-${known} ${classes}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", OUTLINES[known]);
  if (known === "running") path.setAttribute("class", "beat");
  svg.append(path);
  return svg;
}

const KINDS = ["agent", "chain", "chat_model", "llm", "tool", "retriever", "embedding"];

/** The outline of a kind, with its word for the mouse and for a screen reader. */
export function kindIcon(kind) {
  const known = KINDS.includes(kind) ? kind : "other";
  const word = String(kind ?? "other").replace("_", " ");
  const properties = { class: `k-${known}`, title: word, role: "img", "aria-label": word };
  return h("span.glyph", properties, icon(known));
}

export const STATUS_WORDS = {
  ok: "ok",
  error: "failed",
  running: "running",
  cancelled: "cancelled",
  abandoned: "closed early",
  lost: "lost",
};

export const STATUS_MEANINGS = {
  ok: "it returned",
  error: "it raised",
  running: "still running",
  cancelled: "somebody cancelled it",
  abandoned: "its stream was closed before its end; what had come is kept",
  lost: "its process ended before it did; what had come is kept",
};

const statusName = (status) => STATUS_WORDS[status] ?? String(status);

/** The glyph of a status; its word is the title. */
export function statusIcon(status) {
  const word = statusName(status);
  const properties = { class: `s-${status}`, title: word, role: "img", "aria-label": word };
  return h("span.glyph", properties, icon(status));
}

/** Glyph and word of a status. */
export function statusWord(status) {
  const properties = { class: `s-${status}`, title: STATUS_MEANINGS[status] };
  return h("span.status", properties, icon(status), statusName(status));
}

/** A fact: its label above, its value below. */
export function fact(label, ...value) {
  return h("div.fact", {}, h("dt", {}, label), h("dd", {}, ...value));
}

let toastTimer = 0;

/** Say something for a moment, at the foot of the page. */
export function toast(text) {
  document.querySelector(".toast")?.remove();
  const said = h("div.toast", { role: "status" }, text);
  document.querySelector("#app").append(said);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => said.remove(), 1600);
}

function copyBySelection(text) {
  const field = h("textarea.offscreen", { "aria-hidden": "true", tabindex: "-1" });
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  return copied;
}

/** Put the whole text on the clipboard and say so; `said` is what the toast says. */
export async function copyText(text, said = "Copied") {
  let copied = false;
  try {
    await navigator.clipboard.writeText(text);
    copied = true;
  } catch {
    copied = copyBySelection(text); // no clipboard in a sandboxed frame, nor on plain http
  }
  toast(copied ? said : "The browser did not let this page copy");
}

/** Whether the page is as narrow as a phone: rows are higher then, and panes are pages. */
export function isPhone() {
  return matchMedia("(max-width: 700px)").matches;
}
