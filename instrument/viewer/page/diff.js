/**
 * What differs between two texts, word by word. Islands of fewer than three equal words between
 * two differences are told as different, for they only break up what one reads.
 */

const TABLE_LIMIT = 4_000_000; // cells of the table: 16 MB, a tenth of a second
const ISLAND_WORDS = 3;

const piecesOf = (text) => text.split(/(\s+)/).filter((piece) => piece !== "");

/** How many equal pieces both have in common at the start. */
function sharedStart(a, b) {
  const most = Math.min(a.length, b.length);
  let n = 0;
  while (n < most && a[n] === b[n]) n++;
  return n;
}

function sharedEnd(a, b, most) {
  let n = 0;
  while (n < most && a[a.length - 1 - n] === b[b.length - 1 - n]) n++;
  return n;
}

/** Longest common subsequence; null where the table would be too large. */
function compared(a, b) {
  const width = b.length + 1;
  if ((a.length + 1) * width > TABLE_LIMIT) return null;
  const longest = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const at = i * width + j;
      longest[at] = a[i] === b[j]
        ? longest[at + width + 1] + 1
        : Math.max(longest[at + width], longest[at + 1]);
    }
  }
  const steps = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const at = i * width + j;
    if (i < a.length && j < b.length && a[i] === b[j]) {
      steps.push(["=", a[i++]]);
      j++;
    } else if (i < a.length && (j >= b.length || longest[at + width] >= longest[at + 1])) {
      steps.push(["-", a[i++]]);
    } else steps.push(["+", b[j++]]);
  }
  return steps;
}

const isIsland = (steps) =>
  steps.filter(([, piece]) => piece.trim()).length < ISLAND_WORDS &&
  !steps.some(([, piece]) => piece.includes("\n"));

function withoutIslands(steps) {
  const groups = [];
  for (const step of steps) {
    const equal = step[0] === "=";
    if (groups.at(-1)?.equal === equal) groups.at(-1).steps.push(step);
    else groups.push({ equal, steps: [step] });
  }
  return groups.flatMap(({ equal, steps: inside }, i) => {
    const between = i > 0 && i < groups.length - 1;
    if (!equal || !between || !isIsland(inside)) return inside;
    return inside.flatMap(([, piece]) => [["-", piece], ["+", piece]]);
  });
}

/**
 * The steps from one text to another: `[["=" | "-" | "+", text], ...]`, equal neighbours joined
 * per side. Texts that are too long are compared line by line; null where even that is too much.
 */
export function wordDiff(before, after) {
  for (const cut of [piecesOf, (text) => text.split(/(?<=\n)/)]) {
    const a = cut(before);
    const b = cut(after);
    const start = sharedStart(a, b);
    const end = sharedEnd(a, b, Math.min(a.length, b.length) - start);
    const middle = compared(a.slice(start, a.length - end), b.slice(start, b.length - end));
    if (!middle) continue;
    const equal = (pieces) => pieces.map((piece) => ["=", piece]);
    const tail = equal(a.slice(a.length - end));
    return withoutIslands([...equal(a.slice(0, start)), ...middle, ...tail]);
  }
  return null;
}

/** One side of a diff as runs of text: `[[changed, text], ...]`; `other` is the sign left out. */
export function sideOf(steps, other) {
  const parts = [];
  for (const [sign, piece] of steps) {
    if (sign === other) continue;
    const changed = sign !== "=";
    if (parts.at(-1)?.[0] === changed) parts.at(-1)[1] += piece;
    else parts.push([changed, piece]);
  }
  return parts;
}
