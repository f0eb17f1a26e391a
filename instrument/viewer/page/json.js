/**
 * How a recorded value is shown: a tree of lines that open, each with its whole value and its path
 * to copy. What is cut for sight can always be opened.
 */
import { copyText, h, icon } from "./dom.js";
import { bytes, count } from "./format.js";

const LONG_STRING = 240;
const LONG_LIST = 100;
const MORE_AT_ONCE = 1000;
const KEYS_TOLD = 4;
const OPEN_DEPTH = 2;
const OPEN_SIZE = 12;

const isComposite = (value) => value !== null && typeof value === "object";

/** What is copied of a value: a string is itself, anything else is JSON. */
export function copyable(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "";
}

/** A button that copies; `value` may be a function that is asked when it is pressed. */
export function copyButton(value, label = "Copy") {
  const copy = () => copyText(copyable(typeof value === "function" ? value() : value));
  return h("button.btn", { onclick: copy }, label);
}

/** The beginning of a text, never half of a character. */
export function beginning(text, length) {
  const end = /[\ud800-\udbff]/.test(text[length - 1]) ? length - 1 : length;
  return text.slice(0, end);
}

export const sizeOf = (text) => bytes(new Blob([text]).size);

/** Put a text into an element, with `Show all 4.38 kB` where it is longer than `limit`. */
export function longText(element, text, limit = 900, quote = "") {
  if (text.length <= limit) {
    element.append(h("span", {}, quote + text + quote));
    return element;
  }
  const shown = h("span");
  const button = h("button.more", { "aria-expanded": "false" });
  let all = true;
  const turn = () => {
    all = !all;
    const part = all ? text : `${beginning(text, limit)}…`;
    shown.replaceChildren(h("span", {}, quote + part + quote));
    button.textContent = all ? "Show less" : `Show all ${sizeOf(text)}`;
    button.setAttribute("aria-expanded", String(all));
  };
  button.addEventListener("click", turn);
  turn();
  element.append(shown, " ", button);
  return element;
}

function pathStep(path, key) {
  if (typeof key === "number") return `${path}[${key}]`;
  if (/^[A-Za-z_]\w*$/.test(key)) return path ? `${path}.${key}` : key;
  return `${path}[${JSON.stringify(key)}]`;
}

function closedText(value) {
  if (Array.isArray(value)) return `[${value.length || ""}]`;
  const keys = Object.keys(value);
  const told = keys.slice(0, KEYS_TOLD).map((key) => beginning(key, 60));
  return `{${told.join(", ")}${keys.length > KEYS_TOLD ? ", …" : ""}}`;
}

/**
 * A value as a tree. `name` is where its paths begin: `inputs` gives `inputs.items[0].sku`.
 */
export function jsonTree(value, name = "") {
  const box = h("div.json");
  if (isComposite(value) && Object.keys(value).length) {
    addEntries(box, value, 0, name);
    if (!Object.values(value).some(isComposite)) box.classList.add("flat");
  } else {
    box.classList.add("flat");
    addLine(box, null, value, 0, name);
  }
  return box;
}

/** The lines of a list or object, a hundred at first. */
function addEntries(box, value, depth, path) {
  const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  const some = (into, from, to) => {
    for (const key of keys.slice(from, to)) {
      addLine(into, key, value[key], depth, pathStep(path, key));
    }
    const left = keys.length - to;
    if (left <= 0) return;
    const next = Math.min(left, MORE_AT_ONCE);
    const of = next < left ? ` of ${count(left)}` : "";
    const more = h("div.ln", { style: { "--d": depth } });
    const show = () => {
      const lines = h("div");
      some(lines, to, to + next);
      more.replaceWith(...lines.childNodes);
    };
    more.append(h("button.more", { onclick: show }, `Show ${count(next)}${of} more`));
    into.append(more);
  };
  some(box, 0, LONG_LIST);
}

function addLine(box, key, value, depth, path) {
  const line = h("div.ln", { style: { "--d": depth } });
  const shown = h("span.v");
  const size = isComposite(value) ? Object.keys(value).length : 0;
  box.append(line);
  if (size) line.append(twistOf(line, shown, value, depth, path));
  else line.append(h("span.tw"));
  if (key !== null) line.append(h("span.k", {}, `${key}:`));
  line.append(shown, copyButtons(value, path));
  if (size) return;
  if (typeof value === "string") {
    const quoted = value.includes("\n") || value.length > LONG_STRING;
    if (quoted) longText(shown, value, LONG_STRING, '"');
    else shown.append(h("span", {}, JSON.stringify(value)));
    return;
  }
  const scalar = typeof value === "number" || typeof value === "boolean";
  shown.classList.add(scalar ? "n" : "z");
  shown.textContent = isComposite(value) ? closedText(value) : String(value);
}

function twistOf(line, shown, value, depth, path) {
  const kids = h("div");
  const twist = h("button.tw", {}, icon("right"));
  let open = !(depth < OPEN_DEPTH && Object.keys(value).length <= OPEN_SIZE);
  const turn = () => {
    open = !open;
    twist.classList.toggle("open", open);
    twist.setAttribute("aria-expanded", String(open));
    twist.setAttribute("aria-label", open ? "Close" : "Open");
    const told = open ? (Array.isArray(value) ? `[${value.length}]` : "") : closedText(value);
    shown.replaceChildren(h("span", {}, told));
    kids.replaceChildren();
    if (open) addEntries(kids, value, depth + 1, path);
  };
  shown.classList.add("z");
  twist.addEventListener("click", turn);
  turn();
  line.after(kids);
  return twist;
}

function copyButtons(value, path) {
  const copyPath = () => copyText(path, `Copied ${beginning(path, 80)}`);
  const copyValue = () => copyText(copyable(value));
  const button = (label, onclick, title) =>
    h("button.cp", { onclick, title, "aria-label": title }, label);
  return h(
    "span.cps",
    {},
    path ? button("Path", copyPath, `Copy the path ${path}`) : null,
    button("Copy", copyValue, "Copy this value"),
  );
}
