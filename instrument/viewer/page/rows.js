/**
 * A window onto rows of one fixed height: the same for ten rows and for a hundred thousand.
 * Only the rows in sight are elements; no layout is asked for while they are made.
 */

import { h } from "./dom.js";

const BEYOND = 8; // rows made above and below what is in sight

export class Rows {
  /**
   * @param {HTMLElement} scroll what scrolls; it gets the rows' space as a child
   * @param {() => number} rowHeight the height of every row now, in pixels
   * @param {(item: object, index: number) => HTMLElement} makeRow makes one row (`.rowx`)
   */
  constructor(scroll, rowHeight, makeRow) {
    this.scroll = scroll;
    this.rowHeight = rowHeight;
    this.makeRow = makeRow;
    this.items = [];
    this.made = new Map();
    this.height = 0;
    this.space = h("div.spacer", { role: "presentation" });
    scroll.append(this.space);
    this.onScroll = () => this.paint();
    scroll.addEventListener("scroll", this.onScroll, { passive: true });
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(scroll);
  }

  /** Show other items; where one scrolled to stays. */
  set(items) {
    this.items = items;
    this.redraw();
  }

  /** Make all rows in sight again. */
  redraw() {
    this.height = this.scroll.clientHeight;
    this.space.style.setProperty("height", `${this.items.length * this.rowHeight()}px`);
    const old = [...this.made.values()];
    this.made.clear();
    this.paint();
    for (const row of old) row.remove();
  }

  /** Make the row of one index again, if it is in sight. */
  redrawRow(index) {
    const old = this.made.get(index);
    if (!old) return;
    const row = this.place(index, this.rowHeight());
    old.replaceWith(row);
  }

  /** Call `see(row, item, index)` with every row that is in sight. */
  each(see) {
    for (const [index, row] of this.made) see(row, this.items[index], index);
  }

  place(index, height) {
    const row = this.makeRow(this.items[index], index);
    row.style.setProperty("top", `${index * height}px`);
    this.made.set(index, row);
    return row;
  }

  paint() {
    const height = this.rowHeight();
    const top = this.scroll.scrollTop;
    const from = Math.max(0, Math.floor(top / height) - BEYOND);
    const to = Math.min(this.items.length, Math.ceil((top + this.height) / height) + BEYOND);
    for (const [index, row] of this.made) {
      if (index >= from && index < to) continue;
      row.remove();
      this.made.delete(index);
    }
    const fresh = [];
    for (let index = from; index < to; index++) {
      if (!this.made.has(index)) fresh.push(this.place(index, height));
    }
    this.space.append(...fresh);
  }

  /** Scroll as little as needed to have a row in sight, with a neighbour beside it. */
  show(index) {
    const height = this.rowHeight();
    const top = index * height;
    const { scroll } = this;
    if (top < scroll.scrollTop + height) scroll.scrollTop = top - height;
    else if (top + 2 * height > scroll.scrollTop + this.height) {
      scroll.scrollTop = top + 2 * height - this.height;
    }
    this.paint();
  }

  /** Stop listening; the rows stay where they are. */
  close() {
    this.observer.disconnect();
    this.scroll.removeEventListener("scroll", this.onScroll);
  }
}
