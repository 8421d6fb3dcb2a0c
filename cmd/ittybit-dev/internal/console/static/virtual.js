// A list of which only the rows in sight are elements.

const SPARE = 8; // rows above and below those in sight

// VirtualList draws the rows of a box that scrolls. make() makes a row's element, and fill(row, item)
// shows an item in it: elements that scroll out of sight are used again, which is much quicker than
// to make others. An item that is the same object keeps its element.
export class VirtualList {
  #box;
  #layer;
  #height;
  #items = [];
  #make;
  #fill;
  #length = -1;
  #shown = new Map(); // the elements, by item
  #top; // the item at the top of what is in sight
  #frame = 0;
  #scrolled;

  constructor({box, layer, height, make, fill, scrolled}) {
    this.#box = box;
    this.#layer = layer;
    this.#height = height;
    this.#make = make;
    this.#fill = fill;
    this.#scrolled = scrolled;
    box.addEventListener('scroll', () => this.draw(), {passive: true});
    new ResizeObserver(() => this.draw()).observe(box);
  }

  // set shows other items. What is in sight stays in place, unless that is the list's beginning.
  set(items) {
    this.#items = items;
    this.draw();
  }

  // hold keeps what is in sight in place, after rows came or went above it: index is where the row
  // at the top was moved to.
  hold(find) {
    if (this.#box.scrollTop < this.#height || !this.#top) return;
    const was = this.#top;
    const at = find(was.item);
    if (at >= 0 && at !== was.index) this.#box.scrollTop += (at - was.index) * this.#height;
  }

  draw() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const height = this.#height;
    const {scrollTop, clientHeight} = this.#box;
    if (this.#items.length !== this.#length) {
      this.#length = this.#items.length;
      this.#layer.style.height = `${this.#length * height}px`;
    }
    const first = Math.max(0, Math.floor(scrollTop / height) - SPARE);
    const last = Math.min(this.#items.length, Math.ceil((scrollTop + clientHeight) / height) + SPARE);
    const keep = new Map();
    const missing = [];
    for (let i = first; i < last; i++) {
      const row = this.#shown.get(this.#items[i]);
      if (row) {
        this.#shown.delete(this.#items[i]);
        keep.set(this.#items[i], row);
        this.#place(row, i);
      } else missing.push(i);
    }
    const free = [...this.#shown.values()];
    for (const i of missing) {
      const row = free.pop() ?? this.#make();
      this.#fill(row, this.#items[i]);
      this.#place(row, i);
      if (!row.isConnected) this.#layer.append(row);
      keep.set(this.#items[i], row);
    }
    for (const row of free) row.remove();
    this.#shown = keep;
    const index = Math.min(Math.floor(scrollTop / height), this.#items.length - 1);
    this.#top = index >= 0 ? {item: this.#items[index], index} : undefined;
    this.#scrolled?.({last, scrollTop});
  }

  #place(row, index) {
    row.style.top = `${index * this.#height}px`;
    row.ariaRowIndex = String(index + 2); // the first is that of the columns' names
  }

  // item is what a row's element shows.
  item(row) {
    for (const [item, shown] of this.#shown) if (shown === row) return item;
    return undefined;
  }

  // element is that of an item in sight.
  element(item) {
    return this.#shown.get(item);
  }

  // show scrolls a row into sight.
  show(index) {
    const top = index * this.#height;
    const {scrollTop, clientHeight} = this.#box;
    if (top < scrollTop) this.#box.scrollTop = top;
    else if (top + this.#height > scrollTop + clientHeight) this.#box.scrollTop = top + this.#height - clientHeight;
    this.drawNow();
  }

  // inSight is how many rows are seen at once.
  get inSight() {
    return Math.max(1, Math.floor(this.#box.clientHeight / this.#height));
  }
}
