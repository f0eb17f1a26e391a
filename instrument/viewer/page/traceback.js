/**
 * Python's traceback, as its reader wants it: own frames in full, library frames folded.
 */
import { h, icon } from "./dom.js";

const FRAME = /^\s*File "(.*)", line (\d+)(?:, in (.*))?$/;
const GROUP = /^\s*\+ Exception Group Traceback/m;
const UNDERLINE = /^[\s~^]+$/;
const LIBRARY = new RegExp(
  String.raw`[\\/](?:site|dist)-packages[\\/]|[\\/]lib[\\/]python\d|^<frozen |[\\/]Lib[\\/]`,
);
const HEAD = "Traceback (most recent call last):";

/**
 * Frames and the lines between them, in order: `{file, line, name, code: [], library}` or
 * `{text}`. The tree of an exception group stays as Python draws it.
 */
function framesOf(text) {
  if (GROUP.test(text)) return [{ text }];
  const out = [];
  let frame = null;
  for (const line of text.split("\n")) {
    const found = line.match(FRAME);
    if (found) {
      const [, file, number, name = "<module>"] = found;
      frame = { file, line: Number(number), name, code: [], library: LIBRARY.test(file) };
      out.push(frame);
    } else if (frame && /^\s{4}/.test(line)) {
      if (!UNDERLINE.test(line)) frame.code.push(line.slice(4));
    } else {
      frame = null;
      if (line.trim() && line !== HEAD) out.push({ text: line });
    }
  }
  return out;
}

/** The last part repeats type and message, which stand above: they are left out. */
function withoutLast(parts, error) {
  const last = parts.findLastIndex((part) => part.file);
  if (last < 0) return parts;
  const told = parts.slice(last + 1).map((part) => part.text).join("\n");
  const type = error.type.split(".").pop();
  return told.includes(type) ? parts.slice(0, last + 1) : parts;
}

const packageOf = (file) => file.match(/[\\/](?:site|dist)-packages[\\/]([^\\/]+)/)?.[1];

/** What the paths of the own frames begin with alike, but for the last folder of it. */
function commonFolder(frames) {
  const paths = frames.map((frame) => frame.file.split("/").slice(0, -1));
  if (!paths.length) return "";
  let n = 0;
  while (paths.every((path) => n < path.length && path[n] === paths[0][n])) n++;
  const parts = paths[0].slice(0, Math.max(0, n - 1));
  return parts.length ? parts.join("/") + "/" : "";
}

/** The traceback of an error as an element that can be scrolled sideways. */
export function traceback(error) {
  const parts = withoutLast(framesOf(error.traceback), error);
  const folder = commonFolder(parts.filter((part) => part.file && !part.library));
  const box = h("div.tb", { tabindex: "0", role: "group", "aria-label": "Traceback" });
  for (let i = 0; i < parts.length;) {
    if (parts[i].text !== undefined) {
      box.append(h("div.between", {}, parts[i++].text));
      continue;
    }
    if (!parts[i].library) {
      box.append(frameLine(parts[i++], folder));
      continue;
    }
    const from = i;
    while (i < parts.length && parts[i].library) i++;
    box.append(foldedFrames(parts.slice(from, i)));
  }
  return box;
}

function foldedFrames(frames) {
  const names = [...new Set(frames.map((frame) => packageOf(frame.file) ?? "Python"))];
  const where = names.length > 3 ? "libraries" : names.join(", ");
  const count = frames.length === 1 ? "1 frame" : `${frames.length} frames`;
  const button = h("button.skip", { "aria-expanded": "false" }, `${count} in ${where}: show`);
  button.addEventListener("click", () => {
    button.replaceWith(...frames.map((frame) => frameLine(frame, "")));
  });
  return button;
}

function frameLine(frame, folder) {
  const short = frame.library ? frame.file.replace(/^.*-packages[\\/]/, "") : frame.file;
  const where = short.startsWith(folder) ? short.slice(folder.length) : short;
  return h(
    "div.fr",
    { class: frame.library ? "" : "own", title: `${frame.file}:${frame.line}` },
    `${where}:${frame.line} in `,
    h("span.fn", {}, frame.name),
    frame.code.map((line) => `\n    ${line}`),
  );
}

/** The box of a run's error: type, message, and the traceback where it began. */
export function errorBox(error, { began, open, copy }) {
  return h(
    "section.oops",
    { role: "group", "aria-label": "Error" },
    h(
      "div.ty",
      {},
      icon("error"),
      error.type,
      h("span.grow"),
      error.traceback
        ? h("button.btn", { onclick: () => copy(error.traceback) }, "Copy traceback")
        : null,
    ),
    h("div.ms", {}, error.message),
    began
      ? h(
          "div.go2",
          {},
          "Passed through here. It began in ",
          h("button.more", { onclick: () => open(began.run_id) }, began.name),
          ".",
        )
      : null,
    error.traceback && !began ? traceback(error) : null,
  );
}
