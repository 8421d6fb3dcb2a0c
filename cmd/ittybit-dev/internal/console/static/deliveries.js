// The list of deliveries, which stays as it is while another section is looked at.
import {h} from './dom.js';
import {outcome, duration, place, time} from './format.js';
import {VirtualList} from './virtual.js';
import {DeliveryView} from './delivery.js';

const ROW = 36; // pixels, as in views.css
const AHEAD = 40; // rows below those drawn, at which the next page is read

const COLUMNS = [['Status'], ['Event'], ['Kind'], ['Sent to', 'wide'], ['Attempts', 'wide number'], ['Took', 'wide number'], ['Time', 'number']];

// DeliveriesView is the list, with one delivery beside it.
export class DeliveriesView {
  #list;
  #active; // the record that the keyboard is at
  #openID;
  #unseen = 0;
  #detail;
  #first;

  // The records may be on their way: first is the list that was asked for.
  constructor(info, navigate, records, first) {
    Object.assign(this, {info, navigate, records});
    this.#first = first;
    this.count = h('span', {class: 'count'});
    this.filters = this.#makeFilters();
    this.layer = h('div', {class: 'rows', role: 'rowgroup', onclick: (e) => {
      const d = this.#list.item(e.target.closest('.row'));
      if (d) this.#open(d);
    }});
    this.header = h('div', {class: 'columns', role: 'row', 'aria-rowindex': 1},
      COLUMNS.map(([name, kind = '']) => h('span', {role: 'columnheader', class: kind}, name)));
    this.body = h('div', {class: 'rows-box', role: 'grid', tabindex: 0, 'aria-label': 'Deliveries, the newest first', 'aria-rowcount': -1,
      'aria-keyshortcuts': 'ArrowUp ArrowDown PageUp PageDown Home End Enter', onkeydown: (e) => this.#key(e)}, this.layer);
    this.newer = h('button', {type: 'button', class: 'newer primary', hidden: true, onclick: () => this.#toTop()});
    this.empty = h('div', {class: 'empty', hidden: true});
    this.pane = h('section', {class: 'list-pane', 'aria-label': 'List of deliveries'}, h('h1', {class: 'hidden-text'}, 'Deliveries'), this.filters,
      h('div', {}, h('div', {'aria-hidden': 'true'}, this.header), h('div', {class: 'float'}, this.newer)), this.body, this.empty);
    this.element = h('div', {class: 'split'}, this.pane);
    this.#list = new VirtualList({
      box: this.body, layer: this.layer, height: ROW, make: () => this.#row(), fill: (row, d) => this.#fill(row, d), scrolled: (s) => this.#scrolled(s),
    });
  }

  // load reads the list anew, and gives the stream's position.
  async load() {
    const first = this.#first;
    this.#first = undefined;
    const position = await (first ?? this.records.load());
    this.#changed();
    return position;
  }

  // take takes the record of an attempt.
  take(d) {
    if (this.records.take(d) && this.body.scrollTop > ROW) this.#unseen++;
    this.#fresh = d;
    this.#changed();
    if (d.id === this.#openID) this.#detail?.changed();
  }

  #fresh;
  #pending = 0;

  // #changed draws what has changed, once a frame.
  #changed() {
    if (this.#pending) return;
    this.#pending = requestAnimationFrame(() => {
      this.#pending = 0;
      this.#list.hold((record) => this.records.indexOf(record.number));
      this.#list.set(this.records.rows);
      const {rows, done} = this.records;
      this.count.textContent = `${rows.length.toLocaleString()}${done ? '' : '+'} ${rows.length === 1 ? 'delivery' : 'deliveries'}`;
      this.body.setAttribute('aria-rowcount', done ? rows.length + 1 : -1);
      this.newer.hidden = this.#unseen === 0;
      this.newer.textContent = `${this.#unseen} newer`;
      this.#showEmpty(rows.length === 0);
    });
  }

  #showEmpty(isEmpty) {
    this.empty.hidden = !isEmpty;
    this.body.hidden = isEmpty;
    if (!isEmpty) return;
    const filtered = Object.values(this.records.filter).some(Boolean);
    this.empty.replaceChildren(...(filtered
      ? [h('strong', {}, 'Nothing matches the filter'), h('button', {type: 'button', onclick: () => this.#clear()}, 'Clear the filter')]
      : [h('strong', {}, 'No deliveries yet'), h('p', {}, 'Webhooks show up here as they are sent.'),
        this.info.forward ? h('p', {}, 'They go to ', h('code', {}, this.info.forward))
          : h('p', {}, 'Try: ', h('code', {}, 'ittybit-dev trigger task.completed --to http://localhost:3000/ittybit-webhook'))]));
  }

  // show opens a delivery, or with no id the list alone.
  show(id) {
    const before = this.#openID;
    if (id !== before) {
      this.#openID = id;
      this.#detail?.element.remove();
      this.#detail = id ? new DeliveryView(id, this.info, this.navigate) : undefined;
      if (this.#detail) this.element.append(this.#detail.element);
      this.element.classList.toggle('open', Boolean(id));
      for (const row of this.layer.children) row.ariaSelected = String(row.dataset.id === id);
    }
    this.#list.draw();
    if (before && !id) this.body.focus({preventScroll: true});
  }

  #row() {
    return h('div', {class: 'row', role: 'row'}, h('span', {role: 'gridcell'}, h('span')),
      ['event', '', 'url wide', 'wide number', 'wide number', 'number muted'].map((kind) => h('span', {role: 'gridcell', class: kind}, '')));
  }

  #fill(row, d) {
    row.id = `delivery-${d.number}`;
    row.dataset.id = d.id;
    row.ariaSelected = String(d.id === this.#openID);
    row.className = `row${d === this.#active ? ' active' : ''}${d === this.#fresh ? ' fresh' : ''}`;
    const [status, ...cells] = row.children;
    const badge = status.firstChild;
    badge.className = `badge ${{delivered: 'ok', failed: 'bad', waiting: 'wait'}[d.state] ?? ''}`;
    badge.title = d.error ?? d.state;
    write(badge, d.state === 'waiting' ? `${outcome(d)} ↻` : outcome(d));
    const texts = [d.event ?? 'unknown', d.kind ?? '', place(d.url), String(d.attempt), duration(d.duration_ms), time(d.time)];
    for (const [i, cell] of cells.entries()) write(cell, texts[i]);
  }

  #open(d) {
    this.#setActive(d);
    this.navigate(`#/deliveries/${encodeURIComponent(d.id)}`);
  }

  #setActive(d) {
    if (this.#active) this.#list.element(this.#active)?.classList.remove('active');
    this.#active = d;
    const row = this.#list.element(d);
    row?.classList.add('active');
    if (row) this.body.setAttribute('aria-activedescendant', row.id);
    else this.body.removeAttribute('aria-activedescendant');
  }

  #key(e) {
    const {rows} = this.records;
    const at = this.#active ? this.records.indexOf(this.#active.number) : -1;
    const page = this.#list.inSight - 1;
    const to = {ArrowDown: at + 1, ArrowUp: at - 1, j: at + 1, k: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: rows.length - 1}[e.key];
    if (e.key === 'Enter' && at >= 0) this.#open(rows[at]);
    else if (to === undefined || rows.length === 0 || e.ctrlKey || e.metaKey || e.altKey) return;
    else this.#moveTo(Math.min(Math.max(to, 0), rows.length - 1));
    e.preventDefault();
  }

  #moveTo(index) {
    this.#list.show(index);
    this.#setActive(this.records.rows[index]);
  }

  // #scrolled reads more before the end is in sight.
  async #scrolled({last, scrollTop}) {
    if (scrollTop <= ROW && this.#unseen) {
      this.#unseen = 0;
      this.#changed();
    }
    if (last < this.records.rows.length - AHEAD) return;
    try {
      if (await this.records.more()) this.#changed();
    } catch { /* scrolling on asks again */ }
  }

  #toTop() {
    this.body.scrollTop = 0;
    this.body.focus({preventScroll: true});
  }

  #makeFilters() {
    const choice = (name, label, options) => h('select', {name, 'aria-label': label, onchange: () => this.#choose()},
      options.map(([value, text]) => h('option', {value}, text)));
    const same = (values) => values.map((v) => [v, v]);
    return h('form', {class: 'filters', 'aria-label': 'Filter', onsubmit: (e) => e.preventDefault()},
      choice('state', 'Outcome', [['', 'Any outcome'], ['delivered', 'Delivered'], ['waiting', 'Waiting'], ['failed', 'Failed']]),
      choice('event', 'Event', [['', 'Any event'], ...same(this.info.events)]),
      choice('kind', 'Kind', [['', 'Any kind'], ...same(this.info.kinds)]),
      choice('status', 'Status', [['', 'Any status'], ...same(['200', '2xx', '3xx', '4xx', '5xx']), ['none', 'No response']]),
      this.count);
  }

  #clear() {
    this.filters.reset();
    this.#choose();
  }

  async #choose() {
    this.#unseen = 0;
    this.body.scrollTop = 0;
    const done = this.records.choose(Object.fromEntries(new FormData(this.filters)));
    await done;
    this.#changed();
  }
}

// write changes the text of an element, if it is another one.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
