// What goes wrong: faults to switch on and off.
import {attempt, confirmed, h, toast} from './dom.js';
import {get, post} from './api.js';

// Each fault: its name, what it does, what can be set, and how it stands in the server's form. read
// gives the amount that is left, 0 if the fault is off.
const FAULTS = [
  {id: 'unavailable', name: 'Requests fail with 503', text: 'The next requests to the API and the storage are answered 503.', unit: 'requests', amount: 3,
    write: (f, n) => f.requests.push({count: n, status: 503}), is: (r) => r.status === 503},
  {id: 'limited', name: 'Requests are limited with 429', text: 'The next requests are answered 429, with Retry-After: 1.', unit: 'requests', amount: 3,
    write: (f, n) => f.requests.push({count: n, status: 429, header: {'Retry-After': '1'}}), is: (r) => r.status === 429},
  {id: 'before', name: 'Connections drop before a request is acted on', text: 'Nothing has happened: a client may send it again.', unit: 'requests', amount: 1,
    write: (f, n) => f.requests.push({count: n, drop: 'before'}), is: (r) => r.drop === 'before'},
  {id: 'after', name: 'Responses are lost', text: 'The request was acted on, and the client does not hear of it.', unit: 'requests', amount: 1,
    write: (f, n) => f.requests.push({count: n, drop: 'after'}), is: (r) => r.drop === 'after'},
  {id: 'latency', name: 'Slow requests', text: 'Every request waits before it is acted on.', unit: 'ms', amount: 2000,
    write: (f, n) => { f.latency_ms = n; }, read: (f) => f.latency_ms},
  {id: 'hangup', name: 'The sender of webhooks hangs up', text: 'The next attempts are cut before the response: the receiver has handled what is delivered again.', unit: 'attempts', amount: 1,
    write: (f, n) => f.deliveries.push({count: n, hang_up: 'before_answer'}), isDelivery: (d) => d.hang_up === 'before_answer'},
  {id: 'duplicates', name: 'Webhooks come twice', text: 'Copies of each webhook are sent at the same moment.', unit: 'copies', amount: 1,
    write: (f, n) => { f.duplicates = n; }, read: (f) => f.duplicates},
  {id: 'reorder', name: 'Webhooks come in another order', text: 'Those of this time are sent the last one first.', unit: 'ms', amount: 1000,
    write: (f, n) => { f.reorder_ms = n; }, read: (f) => f.reorder_ms},
];

const EVERY = 2000; // milliseconds: faults are used up

export class FaultsView {
  #others = {requests: [], deliveries: []}; // that were set elsewhere, and stay
  #made = 0; // changes so far
  #unsent = 0; // changes that the server does not know yet
  #sent = Promise.resolve(); // the last change

  constructor() {
    this.rows = FAULTS.map((fault) => this.#row(fault));
    this.other = h('p', {class: 'muted body', hidden: true});
    this.element = h('div', {class: 'page'},
      h('header', {class: 'page-head'}, h('h1', {}, 'Faults'), h('span', {class: 'spacer'}),
        h('button', {type: 'button', onclick: (e) => attempt(e.currentTarget, () => this.#clear())}, 'All off'),
        h('button', {type: 'button', class: 'danger', onclick: (e) => this.#reset(e.currentTarget)}, 'Reset the server'),
        h('p', {}, 'What a network and a busy service do, on demand. They strike the API, the storage and webhooks, and not this page.')),
      h('section', {class: 'card', 'aria-label': 'Faults'}, this.rows.map((r) => r.element), this.other));
    this.reload().catch((error) => toast(error.message, 'bad'));
    this.timer = setInterval(() => !document.hidden && this.reload().catch(() => {}), EVERY);
  }

  end() { clearInterval(this.timer); }

  #row(fault) {
    const change = () => this.#set().catch((error) => toast(error.message, 'bad'));
    const on = h('input', {type: 'checkbox', role: 'switch', id: `fault-${fault.id}`, onchange: change});
    const amount = h('input', {type: 'number', min: 1, value: String(fault.amount), 'aria-label': `${fault.name}: ${fault.unit}`, onchange: () => on.checked && change()});
    return {fault, on, amount, element: h('div', {class: 'fault'}, on, h('label', {for: on.id}, fault.name),
      h('div', {class: 'amount'}, amount, h('span', {class: 'muted'}, fault.unit)), h('p', {}, fault.text))};
  }

  // reload shows which faults are set, and how much of them is left. A response from before a change
  // would take that back.
  async reload() {
    const made = this.#made;
    const faults = await get('/_local/faults');
    if (this.#unsent > 0 || made !== this.#made) return;
    const requests = faults.requests ?? [];
    const deliveries = faults.deliveries ?? [];
    for (const {fault, on, amount} of this.rows) {
      const sum = (all, is) => all.filter(is).reduce((n, f) => n + f.count, 0);
      const left = fault.is ? sum(requests, fault.is) : fault.isDelivery ? sum(deliveries, fault.isDelivery) : fault.read(faults) ?? 0;
      on.checked = left > 0;
      if (left > 0 && document.activeElement !== amount) amount.value = left;
    }
    this.#others = {
      requests: requests.filter((r) => !FAULTS.some((f) => f.is?.(r))),
      deliveries: deliveries.filter((d) => !FAULTS.some((f) => f.isDelivery?.(d))),
    };
    const others = this.#others.requests.length + this.#others.deliveries.length;
    this.other.hidden = others === 0;
    this.other.textContent = `And ${others} set elsewhere.`;
  }

  // set sends what is switched on, after the changes before: requests may overtake each other.
  #set() {
    this.#made++;
    this.#unsent++;
    this.#sent = this.#sent.catch(() => {}).then(() => this.#send());
    return this.#sent;
  }

  async #send() {
    const faults = {requests: [...this.#others.requests], deliveries: [...this.#others.deliveries]};
    for (const {fault, on, amount} of this.rows) if (on.checked) fault.write(faults, Math.max(1, Number(amount.value) || 1));
    try {
      await post('/_local/faults', faults, 'PUT');
    } finally {
      this.#unsent--;
    }
    await this.reload();
  }

  async #clear() {
    await post('/_local/faults', undefined, 'DELETE');
    await this.reload();
  }

  async #reset(button) {
    if (!await confirmed('Remove all tasks, media, files, automations and deliveries?', 'Reset')) return;
    await attempt(button, () => post('/_local/reset'));
    toast('The server is as at its beginning');
  }
}
