// One webhook, made from a fixture, changed, signed and sent.
import {attempt, h} from './dom.js';
import {get, post, text} from './api.js';
import {duration, outcome} from './format.js';
import {pretty} from './json.js';

const REMEMBERED = 'ittybit-console-url';

export class ComposeView {
  #edited = false; // by hand: another fixture does not replace it unasked

  constructor(info, navigate) {
    this.navigate = navigate;
    const given = JSON.parse(sessionStorage.getItem('compose') ?? 'null');
    sessionStorage.removeItem('compose');
    const field = (label, input, more) => h('div', {class: 'field'}, h('label', {for: input.id}, label), input, more);
    const refill = () => this.#fill();
    this.url = h('input', {id: 'url', type: 'url', required: true, autocomplete: 'off', value: given?.url ?? localStorage.getItem(REMEMBERED) ?? 'http://localhost:3000/ittybit-webhook'});
    this.event = h('select', {id: 'event', onchange: refill}, info.events.map((e) => h('option', {}, e)));
    this.kind = h('select', {id: 'kind', onchange: refill}, info.kinds.map((k) => h('option', {selected: k === 'nsfw'}, k)));
    this.message = h('input', {id: 'message', value: 'The file is broken.', onchange: refill});
    this.progress = h('input', {id: 'progress', type: 'number', min: 0, max: 100, value: '50', onchange: refill});
    this.problem = h('p', {class: 'problem', id: 'problem', role: 'status'});
    this.payload = h('textarea', {id: 'payload', rows: 22, spellcheck: 'false', 'aria-describedby': 'problem', oninput: () => {
      this.#edited = true;
      this.#check();
    }});
    this.messageField = field('Message', this.message);
    this.progressField = field('Progress', this.progress);
    this.kindField = field('Kind', this.kind);
    this.button = h('button', {class: 'primary'}, 'Sign and send');
    this.result = h('section', {class: 'card', 'aria-label': 'Result', 'aria-live': 'polite'},
      h('header', {}, h('h2', {}, 'Result')), h('div', {class: 'body muted'}, 'The response to the first attempt shows up here.'));
    this.element = h('div', {class: 'page'},
      h('header', {class: 'page-head'}, h('h1', {}, 'Compose a webhook'), h('p', {}, 'A fixture, changed as you like. It is signed with the key of this Ittybit, and retried until it is confirmed.')),
      h('div', {class: 'columns-2'},
        h('form', {class: 'card', onsubmit: (e) => this.#send(e)},
          h('header', {}, h('h2', {}, 'Event')),
          h('div', {class: 'body stack'},
            field('Send to', this.url),
            h('div', {class: 'fields'}, field('Event', this.event), this.kindField, this.messageField, this.progressField),
            field('Payload', this.payload),
            this.problem,
            h('div', {class: 'actions'}, this.button, h('button', {type: 'button', onclick: () => this.#fill(true)}, 'Start over from the fixture')))),
        this.result));
    if (given) {
      this.#edited = true;
      this.payload.value = given.body;
      this.#check();
    }
    this.#fill(false);
  }

  // #fill puts the fixture of the chosen event into the form.
  async #fill(over = false) {
    const event = this.event.value;
    this.messageField.hidden = !/failed|media/.test(event);
    this.progressField.hidden = event !== 'task.updated';
    this.kindField.hidden = event.startsWith('media');
    if (this.#edited && !over) return;
    const query = new URLSearchParams({event, kind: this.kind.value, message: this.message.value, progress: this.progress.value});
    try {
      this.payload.value = JSON.stringify(JSON.parse(await text(`/console/fixture?${query}`)), null, 2);
      this.#edited = false;
      this.#check();
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }

  // #check says where the payload is not JSON.
  #check() {
    let problem = '';
    try {
      JSON.parse(this.payload.value);
    } catch (error) {
      problem = `Not valid JSON: ${error.message}`;
    }
    this.problem.textContent = problem;
    this.payload.setAttribute('aria-invalid', String(problem !== ''));
    this.button.disabled = problem !== '';
  }

  // #send sends the payload as it stands in the form: parsed, it would lose digits.
  async #send(e) {
    e.preventDefault();
    localStorage.setItem(REMEMBERED, this.url.value);
    const d = await attempt(this.button, () => post('/_local/events', `{"url":${JSON.stringify(this.url.value)},"wait":true,"body":${this.payload.value}}`));
    if (!d) return;
    const ok = d.status === 200;
    this.result.replaceChildren(
      h('header', {}, h('h2', {}, 'Result'), h('span', {class: `badge ${ok ? 'ok' : 'bad'}`}, outcome(d)), h('span', {class: 'muted'}, duration(d.duration_ms))),
      h('div', {class: 'body stack'},
        h('p', {}, ok ? 'Confirmed at the first attempt.' : 'Not confirmed: only status 200 does that.'),
        d.error ? h('p', {class: 'problem break'}, d.error) : null,
        d.response?.body ? pretty(d.response.body) : null,
        h('p', {}, h('a', {href: `#/deliveries/${encodeURIComponent(d.id)}`}, 'Show the delivery'))));
  }
}
