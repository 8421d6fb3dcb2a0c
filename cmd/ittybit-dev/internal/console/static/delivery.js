// One delivery in full.
import {attempt, copy, h, tabs, toast} from './dom.js';
import {bytes, get, post, segment} from './api.js';
import {curl, duration, outcome, size, time} from './format.js';
import {dump, pretty} from './json.js';

// DeliveryView shows the delivery of an id, and follows its attempts.
export class DeliveryView {
  #body; // the bytes of its payload, which no attempt changes
  #reading;
  #again = false;

  constructor(id, info, navigate) {
    Object.assign(this, {id, info, navigate});
    this.title = h('h1', {tabindex: -1}, 'Delivery');
    this.head = h('header', {class: 'detail-head'});
    this.timeline = h('section', {class: 'card', 'aria-label': 'Attempts'});
    this.request = h('section', {class: 'card', 'aria-label': 'Request'});
    this.signature = h('section', {class: 'card', 'aria-label': 'Signature'});
    this.element = h('article', {class: 'detail', 'aria-label': 'Delivery', onkeydown: (e) => {
      if (e.key === 'Escape') navigate('#/deliveries');
    }}, this.head);
    this.#read(true);
  }

  // changed is called when there is another attempt.
  changed() {
    if (this.#reading) this.#again = true;
    else this.#read(false);
  }

  async #read(first) {
    this.#reading = true;
    try {
      const path = `/_local/deliveries/${segment(this.id)}`;
      const [delivery, explained] = await Promise.all([get(path), get(`/console/deliveries/${segment(this.id)}/signature`)]);
      if (this.info.forward) delete delivery.request.headers['User-Agent']; // listen's, or that of what was sent again
      this.#body ??= await bytes(`${path}/body`);
      this.#showHead(delivery);
      this.#showTimeline(delivery);
      this.#showSignature(explained);
      if (first) {
        this.#showRequest(delivery);
        this.element.append(this.timeline, this.request, this.signature);
        if (this.element.isConnected) this.title.focus({preventScroll: true});
      }
    } catch (error) {
      if (first) this.head.replaceChildren(this.#back(), h('p', {class: 'problem break'}, error.message));
    }
    this.#reading = false;
    if (this.#again) {
      this.#again = false;
      this.#read(false);
    }
  }

  #back() {
    return h('button', {type: 'button', class: 'quiet', onclick: () => this.navigate('#/deliveries')}, '✕ Close');
  }

  #showHead(d) {
    const last = d.attempts.at(-1);
    const tone = {delivered: 'ok', failed: 'bad', waiting: 'wait'}[d.state];
    this.title.textContent = last.event ?? 'Unknown event';
    const act = (label, work, kind = '') => h('button', {type: 'button', class: kind, onclick: (e) => attempt(e.currentTarget, work)}, label);
    this.head.replaceChildren(
      h('div', {class: 'line'}, this.title, h('span', {class: `badge ${tone}`}, d.state), h('span', {class: 'spacer'}), this.#back()),
      h('dl', {class: 'facts'},
        fact('Delivery', h('code', {}, d.id)), last.kind && fact('Kind', last.kind),
        last.task_id && fact('Task', this.info.forward ? last.task_id : h('a', {href: `#/tasks/${encodeURIComponent(last.task_id)}`}, last.task_id)),
        fact('Sent to', h('code', {}, d.request.url)), fact('Size', size(last.size))),
      h('div', {class: 'actions'},
        act('Send again', () => this.#resend(false), 'primary'),
        act('Send as it was', () => this.#resend(true)),
        this.info.forward || this.#body.length > 500_000 ? null : act('Edit and send', () => this.#edit(d)),
        act('Copy as curl', () => copy(curl(d.request, this.#body), 'curl command')),
        d.state === 'waiting' ? act('Stop retrying', () => post(`/_local/deliveries/${segment(this.id)}/cancel`), 'danger') : null));
  }

  async #resend(asSent) {
    const {id} = await post(`/_local/deliveries/${segment(this.id)}/resend`, {as_sent: asSent});
    toast(asSent ? 'Sent again, with the same signature' : 'Sent again, signed anew');
    this.navigate('#/deliveries');
    this.opened?.(id);
  }

  async #edit(d) {
    sessionStorage.setItem('compose', JSON.stringify({url: d.request.url, body: new TextDecoder().decode(this.#body)}));
    this.navigate('#/compose');
  }

  #showTimeline({attempts, state}) {
    const longest = Math.max(...attempts.map((a) => a.duration_ms), 1);
    const many = attempts.some((a) => a.copy > 0);
    const open = new Set([...this.timeline.querySelectorAll('details[open]')].map((e) => e.dataset.number));
    const items = attempts.map((a, i) => {
      const next = attempts.slice(i + 1).find((b) => b.copy === a.copy);
      const ended = new Date(a.time).getTime() + a.duration_ms;
      const ok = a.status === 200;
      const bar = h('span');
      bar.style.width = `${(100 * a.duration_ms) / longest}%`;
      const shown = (next ? open.has(String(a.number)) : i === attempts.length - 1 || open.has(String(a.number)));
      return h('li', {class: ok ? 'ok' : 'bad'},
        h('div', {class: 'line'}, h('h3', {}, `Attempt ${a.attempt}${many ? `, copy ${a.copy}` : ''}`),
          h('span', {class: `badge ${ok ? 'ok' : 'bad'}`}, outcome(a)), h('span', {class: 'muted'}, duration(a.duration_ms)),
          h('time', {class: 'muted', datetime: a.time, title: a.time}, time(a.time))),
        h('div', {class: 'bar', 'aria-hidden': 'true'}, bar),
        a.error ? h('p', {class: 'problem break'}, a.error) : null,
        a.response ? h('details', {open: shown, 'data-number': a.number}, h('summary', {}, 'Response'), this.#response(a)) : null,
        next ? h('span', {class: 'gap'}, `Waited ${duration(new Date(next.time).getTime() - ended)}`) : null,
        !next && a.next_attempt && state === 'waiting' ? h('span', {class: 'gap'}, `Next attempt at ${time(a.next_attempt)}, after ${duration(new Date(a.next_attempt).getTime() - ended)}`) : null);
    });
    this.timeline.replaceChildren(
      h('header', {}, h('h2', {}, attempts.length === 1 ? '1 attempt' : `${attempts.length} attempts`)),
      h('div', {class: 'body'}, h('ol', {class: 'timeline'}, items)));
  }

  #response(a) {
    return h('div', {class: 'stack'}, headerList(Object.entries(a.response.headers ?? {}).map(([name, values]) => [name, values.join(', ')])),
      a.response.body ? pretty(a.response.body) : h('p', {class: 'muted'}, 'No body.'));
  }

  #showRequest({request}) {
    const text = new TextDecoder().decode(this.#body);
    const {list, panel} = tabs('Body', [['JSON', () => pretty(text)], ['Bytes', () => dump(this.#body)]]);
    this.request.replaceChildren(
      h('header', {}, h('h2', {}, 'Request'), h('span', {class: 'spacer'}), list,
        h('button', {type: 'button', class: 'quiet', onclick: () => copy(text, 'Body')}, 'Copy')),
      h('div', {class: 'body stack'},
        h('p', {class: 'mono break'}, `${request.method} ${request.url}`), headerList(Object.entries(request.headers)), panel));
  }

  #showSignature({steps}) {
    const valid = steps.every((s) => s.state !== 'bad');
    this.signature.replaceChildren(
      h('header', {}, h('h2', {}, 'Signature'), h('span', {class: `badge ${valid ? 'ok' : 'bad'}`}, valid ? 'valid' : 'not valid')),
      h('div', {class: 'body'}, h('ol', {class: 'steps'}, steps.map((s) => h('li', {class: s.state ?? ''},
        h('h3', {}, s.title), h('p', {class: 'muted'}, s.text), s.code ? h('code', {}, s.code) : null)))));
  }
}

const fact = (name, value) => [h('dt', {}, name), h('dd', {}, value)];

function headerList(pairs) {
  return h('dl', {class: 'headers'}, pairs.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));
}
