// The deliveries that are loaded, the newest first: one record for each delivery and copy, its last
// attempt.
import {get} from './api.js';

const FIRST = 100; // records of the first page
const MORE = 400; // and of the second; those that follow have MOST
const MOST = 1000; // that the server gives at once

const keyOf = (d) => `${d.id}/${d.copy}`;

// Records has the records of one filter.
export class Records {
  rows = [];
  filter = {};
  done = true; // there is no older one
  #byKey = new Map();
  #turn = 0; // counts the lists that were asked for: an answer to an older question is dropped
  #loading = false;
  #meanwhile; // the records that came while the list was read, which may not have them

  // load reads the list from the beginning, and gives the stream's position, or undefined if
  // another list was asked for meanwhile.
  async load() {
    const turn = ++this.#turn;
    this.#loading = false;
    this.#meanwhile = [];
    const page = await this.#page({limit: Math.min(Math.max(this.rows.length, FIRST), MOST)});
    if (turn !== this.#turn) return undefined;
    this.rows = [];
    this.#byKey.clear();
    this.#add(page);
    const meanwhile = this.#meanwhile;
    this.#meanwhile = undefined;
    for (const d of meanwhile) this.apply(d);
    return page.stream;
  }

  // choose sets a filter.
  choose(filter) {
    this.filter = filter;
    this.rows = [];
    this.#byKey.clear();
    return this.load();
  }

  // more reads the next page. It reports whether there was something to read.
  async more() {
    if (this.done || this.#loading) return false;
    const turn = this.#turn;
    this.#loading = true;
    try {
      const page = await this.#page({limit: this.rows.length < MORE ? MORE : MOST, before: this.rows.at(-1)?.number});
      if (turn !== this.#turn) return false;
      this.#add(page);
    } finally {
      if (turn === this.#turn) this.#loading = false;
    }
    return true;
  }

  #page(query) {
    const all = new URLSearchParams(Object.entries({...this.filter, ...query}).filter(([, value]) => value));
    return get(`/_local/deliveries?${all}`);
  }

  #add(page) {
    for (const d of page.deliveries) this.apply(d);
    this.done = !page.next;
  }

  // take takes a record from the stream. It reports whether it is the newest of the list now.
  take(d) {
    this.#meanwhile?.push(d);
    return this.apply(d);
  }

  // apply takes a record that is new, or newer than the one it replaces. It reports whether it is
  // the newest of the list now.
  apply(d) {
    const known = this.#byKey.get(keyOf(d));
    if (known && known.number >= d.number) return false;
    if (known) {
      this.#byKey.delete(keyOf(d));
      this.rows.splice(this.indexOf(known.number), 1);
    }
    if (!this.matches(d)) return false;
    this.#byKey.set(keyOf(d), d);
    const at = this.#before(d.number);
    if (at === this.rows.length) this.rows.push(d);
    else this.rows.splice(at, 0, d);
    return at === 0;
  }

  matches(d) {
    const {state, event, kind, status, task} = this.filter;
    return (!state || d.state === state) && (!event || d.event === event) && (!kind || d.kind === kind) &&
      (!task || d.task_id === task) && (!status || matchesStatus(status, d.status));
  }

  // #before is how many records are newer than a number.
  #before(number) {
    let [low, high] = [0, this.rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].number > number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // indexOf is the place of the record with this number, -1 if there is none.
  indexOf(number) {
    const at = this.#before(number);
    return this.rows[at]?.number === number ? at : -1;
  }
}

function matchesStatus(wanted, status) {
  if (wanted === 'none') return !status;
  return wanted.endsWith('xx') ? Math.floor((status ?? 0) / 100) === Number(wanted[0]) : status === Number(wanted);
}
