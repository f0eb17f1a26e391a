/**
 * The runs of one request as a tree, and the rows that stand for them.
 *
 * Every run is in exactly one of four states: it has a row, it is folded into a row of like
 * siblings, it is in a branch that is closed, or the filter hides it. `rowsOf` counts them.
 */
import { STATUS_WORDS } from "./dom.js";

const LARGE_REQUEST = 500;
const SHARE = 0.02;

/** One run and where it stands: `parent`, `children` in order of their start. */
export class Tree {
  constructor(runs) {
    this.byId = new Map();
    this.nowMs = null;
    this.merge(runs);
  }

  /** Take runs that are new or have changed (skeleton rows), by `run_id`. */
  merge(changed) {
    for (const run of changed) this.byId.set(run.run_id, run);
    this.runs = [...this.byId.values()].sort((a, b) => a.seq - b.seq);
    this.loosen();
    this.childrenOf = new Map();
    this.tops = [];
    for (const run of this.runs) {
      const parent = this.parentOf(run);
      if (!parent) this.tops.push(run);
      else if (this.childrenOf.has(parent.run_id)) this.childrenOf.get(parent.run_id).push(run);
      else this.childrenOf.set(parent.run_id, [run]);
    }
    this.root = this.tops[0];
    this.running = this.runs.filter((run) => run.status === "running");
    this.firstMs = 0; // a run of another process may have started by a clock that is behind
    this.lastMs = 0;
    for (const run of this.runs) {
      this.firstMs = Math.min(this.firstMs, run.start_ms);
      this.lastMs = Math.max(this.lastMs, run.start_ms + (run.duration_ms ?? 0));
    }
    this.troubled = new Set();
    for (const run of this.runs) {
      if (run.status !== "error" && run.status !== "running") continue;
      for (let at = run; at && !this.troubled.has(at.run_id); at = this.parentOf(at)) {
        this.troubled.add(at.run_id);
      }
    }
    this.places = null;
  }

  get large() {
    return this.runs.length > LARGE_REQUEST;
  }

  /** Where the request ends so far, in ms from its start. */
  get endMs() {
    return Math.max(this.lastMs, this.running.length ? this.nowMs ?? 0 : 0, 0.001);
  }

  parentOf(run) {
    if (!run.parent_run_id || this.loose.has(run.run_id)) return undefined;
    return this.byId.get(run.parent_run_id);
  }

  /** Of runs that say they are below each other, have one shown as a top. */
  loosen() {
    this.loose = new Set();
    const hangs = new Set();
    for (const run of this.runs) {
      const path = new Set();
      let at = run;
      while (at && !hangs.has(at) && !path.has(at)) {
        path.add(at);
        at = this.parentOf(at);
      }
      if (at && path.has(at)) this.loose.add(at.run_id);
      for (const one of path) hangs.add(one);
    }
  }

  children(run) {
    return this.childrenOf.get(run.run_id) ?? [];
  }

  /** The runs above, nearest first. */
  above(run) {
    const out = [];
    for (let at = this.parentOf(run); at; at = this.parentOf(at)) out.push(at);
    return out;
  }

  /** All runs below, in the order of their rows. */
  below(run) {
    const out = [];
    const open = [...this.children(run)].reverse();
    while (open.length) {
      const next = open.pop();
      out.push(next);
      const kids = this.children(next);
      for (let i = kids.length - 1; i >= 0; i--) open.push(kids[i]);
    }
    return out;
  }

  /** How long it took, or has taken so far; undefined where nobody knows (it was lost). */
  durationOf(run) {
    if (run.duration_ms != null) return run.duration_ms;
    return run.status === "running" ? Math.max(0, this.endMs - run.start_ms) : undefined;
  }

  endOf(run) {
    return run.duration_ms != null ? run.start_ms + run.duration_ms : this.endMs;
  }

  /** Runs where an error began; where none is marked so, those that failed. */
  errors() {
    const began = this.runs.filter((run) => run.origin);
    return began.length ? began : this.runs.filter((run) => run.status === "error");
  }

  /** The next error after (or before) a run in the order of the rows, around the end. */
  nextError(from, step) {
    const place = (run) => this.placeOf(run);
    const errors = this.errors().sort((a, b) => place(a) - place(b));
    if (!errors.length) return undefined;
    const here = from ? place(from) : -1;
    if (step > 0) return errors.find((run) => place(run) > here) ?? errors[0];
    return errors.findLast((run) => place(run) < here) ?? errors.at(-1);
  }

  placeOf(run) {
    if (!this.places) {
      this.places = new Map();
      for (const top of this.tops) {
        this.places.set(top.run_id, this.places.size);
        for (const next of this.below(top)) this.places.set(next.run_id, this.places.size);
      }
    }
    return this.places.get(run.run_id);
  }

  /** Where people look first: where the error began, if the request failed; else its root. */
  firstLook(tracebackOf) {
    if (this.root?.status !== "error") return this.root;
    return this.byId.get(tracebackOf) ?? this.errors()[0] ?? this.root;
  }
}

/** What a person has opened, closed and asked for in one tree. */
export class TreeView {
  constructor(tree) {
    this.closed = new Set();
    this.unfolded = new Set();
    this.closedInFind = new Set();
    this.share = false;
    this.find("");
    if (tree.large) this.closeCalm(tree);
  }

  /** Close every branch below the root in which nothing has failed or runs. */
  closeCalm(tree) {
    for (const run of tree.runs) {
      const calm = !tree.troubled.has(run.run_id);
      if (calm && tree.parentOf(run) && tree.childrenOf.has(run.run_id)) {
        this.closed.add(run.run_id);
      }
    }
  }

  closeAll(tree) {
    for (const run of tree.runs) {
      if (tree.parentOf(run) && tree.childrenOf.has(run.run_id)) this.closed.add(run.run_id);
    }
    this.unfolded.clear();
  }

  find(text) {
    this.text = text;
    this.words = wordsOf(text);
    this.looksFor = this.words.some((word) => !word.without);
    this.closedInFind.clear();
  }

  get filters() {
    return this.words.length > 0 || this.share;
  }

  isClosed(run) {
    return (this.looksFor ? this.closedInFind : this.closed).has(run.run_id);
  }

  setClosed(run, closed) {
    const set = this.looksFor ? this.closedInFind : this.closed;
    if (closed) set.add(run.run_id);
    else set.delete(run.run_id);
  }
}

/** `kind:tool`, `gpt`, `-embed`, `-name:"two words"` as objects. */
function wordsOf(text) {
  const words = [];
  const form = /(-?)(?:(kind|name|status|model):)?(?:"([^"]*)"?|(\S+))/gi;
  for (const [, minus, key, quoted, bare] of text.matchAll(form)) {
    const word = (quoted ?? bare).toLowerCase();
    if (word && word !== "-") words.push({ without: minus === "-", key: key?.toLowerCase(), word });
  }
  return words;
}

function says(run, { key, word }) {
  const status = `${STATUS_WORDS[run.status] ?? ""} ${run.status}`;
  if (key === "name") return run.name.toLowerCase().includes(word);
  if (key === "kind") return run.kind.toLowerCase().includes(word);
  if (key === "model") return (run.model ?? "").toLowerCase().includes(word);
  if (key === "status") return status.includes(word);
  const all = `${run.name} ${run.kind} ${run.model ?? ""} ${status} ${run.error_type ?? ""}`;
  return all.toLowerCase().includes(word);
}

/** The runs that the filter keeps, and what they hang on; null where nothing is filtered. */
function keptOf(tree, view) {
  if (!view.filters) return null;
  const least = view.share ? tree.endMs * SHARE : 0;
  const kept = new Set();
  for (const run of tree.runs) {
    if (!view.words.every((word) => says(run, word) !== word.without)) continue;
    const trouble = run.status === "error" || run.status === "running";
    if (!trouble && !(tree.endOf(run) - run.start_ms >= least)) continue;
    for (let at = run; at && !kept.has(at.run_id); at = tree.parentOf(at)) kept.add(at.run_id);
  }
  return kept;
}

/** How many siblings from here on may be told as one: same name, fine, nothing running below. */
function alike(tree, runs, from) {
  const first = runs[from];
  let to = from;
  while (to < runs.length) {
    const run = runs[to];
    const same = run.name === first.name && run.kind === first.kind && run.status === "ok";
    if (!same || tree.troubled.has(run.run_id)) break;
    to++;
  }
  return to - from;
}

/**
 * The rows of a tree as they are seen, and how many runs are not.
 *
 * A row is `{key, run, depth, children, closed}` or `{key, group, depth, open}`.
 */
export function rowsOf(tree, view) {
  const kept = keptOf(tree, view);
  const foldAbove = tree.large ? 3 : 8;
  const seen = (runs) => (kept ? runs.filter((run) => kept.has(run.run_id)) : runs);
  const rows = [];
  const counts = { all: tree.runs.length, shown: 0, folded: 0, closed: 0, hidden: 0 };
  const levels = [{ runs: seen(tree.tops), next: 0, depth: 0, folds: false, of: "" }];
  while (levels.length) {
    const level = levels.at(-1);
    if (level.next >= level.runs.length) {
      levels.pop();
      continue;
    }
    const run = level.runs[level.next];
    const like = level.folds ? alike(tree, level.runs, level.next) : 0;
    if (like > foldAbove) {
      const group = level.runs.slice(level.next, level.next + like);
      const key = `${level.of}:${run.run_id}`;
      const open = view.unfolded.has(key);
      rows.push({ key, group, depth: level.depth, open });
      level.next += like;
      const depth = level.depth + 1;
      if (open) levels.push({ runs: group, next: 0, depth, folds: false, of: key });
      else counts.folded += like;
      continue;
    }
    level.next++;
    const children = seen(tree.children(run));
    const closed = children.length > 0 && view.isClosed(run);
    rows.push({ key: run.run_id, run, depth: level.depth, children: children.length, closed });
    counts.shown++;
    if (children.length && !closed) {
      const folds = !view.looksFor;
      const of = run.run_id;
      levels.push({ runs: children, next: 0, depth: level.depth + 1, folds, of });
    }
  }
  counts.hidden = kept ? counts.all - kept.size : 0;
  counts.closed = counts.all - counts.shown - counts.folded - counts.hidden;
  return { rows, counts };
}

/** Open what stands between a run and its row; lift the filter if that hides it. */
export function reveal(tree, view, run) {
  const path = new Set([run, ...tree.above(run)]);
  const kept = keptOf(tree, view);
  if (kept && !kept.has(run.run_id)) {
    view.find("");
    view.share = false;
  }
  for (const above of tree.above(run)) view.setClosed(above, false);
  for (;;) {
    const { rows } = rowsOf(tree, view);
    const holds = (row) => row.group && !row.open && row.group.some((one) => path.has(one));
    const shut = rows.find(holds);
    if (!shut) return;
    view.unfolded.add(shut.key);
  }
}
