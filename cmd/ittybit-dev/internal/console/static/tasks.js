// Tasks, with their progress as it goes on.
import {attempt, h, link} from './dom.js';
import {get, post, segment} from './api.js';
import {time, tone} from './format.js';
import {pretty} from './json.js';

const PAGE = 50;
const EVERY = 5000; // milliseconds between two looks at the real API, which has no stream

export class TasksView {
  #tasks = new Map();
  #rows = new Map();
  #page = 1;
  #timer;

  constructor(info, navigate, id) {
    this.info = info;
    this.open = new Set(id ? [id] : []);
    this.rows = h('tbody');
    this.more = h('button', {type: 'button', hidden: true, onclick: (e) => attempt(e.currentTarget, () => this.#read(this.#page + 1))}, 'Show older');
    this.empty = h('div', {class: 'empty', hidden: true}, h('strong', {}, 'No tasks yet'),
      h('p', {}, 'Try: ', h('code', {}, 'ittybit-dev tasks create nsfw https://example.com/cat.jpg')));
    this.element = h('div', {class: 'page'}, h('header', {class: 'page-head'}, h('h1', {}, 'Tasks')),
      h('section', {class: 'card', 'aria-label': 'Tasks'}, h('div', {class: 'scroll-x', tabindex: 0, role: 'group', 'aria-label': 'Table of tasks'}, h('table', {},
        h('thead', {}, h('tr', {}, ['Task', 'Kind', 'Status', 'Progress', 'Created'].map((name) => h('th', {scope: 'col'}, name)))),
        this.rows)), this.empty), h('div', {class: 'actions'}, this.more));
    this.#begin(id);
    if (info.forward) this.#timer = setInterval(() => !document.hidden && this.#read(1).catch(() => {}), EVERY);
  }

  async #begin(id) {
    await attempt(this.more, async () => {
      await this.#read(1);
      if (id && !this.#tasks.has(id)) this.#set(await get(`/tasks/${segment(id)}`));
    });
    if (id) this.#rows.get(id)?.main.scrollIntoView({block: 'center'});
  }

  end() { clearInterval(this.#timer); }

  async reload() {
    this.#tasks.clear();
    this.#rows.clear();
    this.rows.replaceChildren();
    await this.#read(1);
  }

  take(kind, task) {
    if (kind === 'task') this.#set(task);
  }

  async #read(page) {
    const tasks = await get(`/tasks?limit=${PAGE}&page=${page}`);
    this.#page = Math.max(page, this.#page);
    for (const task of page > 1 ? tasks : tasks.toReversed()) this.#set(task, page > 1);
    if (page === this.#page) this.more.hidden = tasks.length < PAGE;
    this.empty.hidden = this.#tasks.size > 0;
  }

  // #set shows a task, in the place that it had.
  #set(task, older = false) {
    const known = this.#tasks.get(task.id);
    if (known && known.updated > task.updated) return;
    this.#tasks.set(task.id, task);
    this.empty.hidden = true;
    const row = this.#rows.get(task.id) ?? this.#add(task, older);
    const progress = task.progress ?? 0;
    row.status.className = `badge ${tone(task.status)}`;
    row.status.textContent = task.status;
    row.bar.value = progress;
    row.percent.textContent = `${progress} %`;
    if (this.open.has(task.id)) this.#showInner(row, task);
  }

  #add(task, older) {
    const row = {
      status: h('span'), bar: h('progress', {max: 100, 'aria-label': `Progress of ${task.id}`}), percent: h('span', {class: 'muted'}),
      inner: h('td', {colspan: 5, class: 'inner'}),
    };
    row.button = h('button', {type: 'button', class: 'disclosure', 'aria-expanded': 'false', onclick: () => this.#toggle(row, task.id)}, task.id);
    row.main = h('tr', {}, h('td', {}, row.button), h('td', {}, task.kind), h('td', {}, row.status),
      h('td', {}, h('div', {class: 'progress'}, row.bar, row.percent)), h('td', {class: 'muted'}, time(task.created)));
    row.more = h('tr', {hidden: true}, row.inner);
    this.#rows.set(task.id, row);
    if (older) this.rows.append(row.main, row.more);
    else this.rows.prepend(row.main, row.more);
    return row;
  }

  #toggle(row, id) {
    if (this.open.delete(id)) {
      row.more.hidden = true;
      row.button.setAttribute('aria-expanded', 'false');
      return;
    }
    this.open.add(id);
    this.#showInner(row, this.#tasks.get(id));
  }

  #showInner(row, task) {
    row.more.hidden = false;
    row.button.setAttribute('aria-expanded', 'true');
    row.inner.replaceChildren(h('div', {class: 'stack'}, this.#actions(task),
      h('dl', {class: 'facts'},
        task.input?.url ? [h('dt', {}, 'Input'), h('dd', {}, link(task.input.url))] : null,
        task.output?.url ? [h('dt', {}, 'Output'), h('dd', {}, link(task.output.url))] : null,
        task.parent_id ? [h('dt', {}, 'Part of'), h('dd', {}, h('a', {href: `#/tasks/${encodeURIComponent(task.parent_id)}`}, task.parent_id))] : null,
        task.automation_id ? [h('dt', {}, 'Automation'), h('dd', {}, h('a', {href: '#/automations'}, task.automation_id))] : null,
        task.error ? [h('dt', {}, 'Error'), h('dd', {class: 'problem'}, typeof task.error === 'string' ? task.error : JSON.stringify(task.error))] : null),
      pretty(JSON.stringify(task))));
  }

  // #actions end a task by hand, under serve.
  #actions(task) {
    if (this.info.forward || !['pending', 'waiting', 'processing'].includes(task.status)) return null;
    const act = (label, action, body, kind = '') => h('button', {type: 'button', class: kind,
      onclick: (e) => attempt(e.currentTarget, () => post(`/_local/tasks/${segment(task.id)}/${action}`, body()))}, label);
    const progress = h('input', {type: 'number', min: 0, max: 100, value: String(task.progress ?? 0), 'aria-label': 'Progress in percent'});
    return h('div', {class: 'actions'}, act('Complete now', 'finish', () => ({}), 'primary'), act('Let it fail', 'fail', () => ({}), 'danger'),
      progress, act('Set the progress', 'progress', () => ({progress: Number(progress.value)})));
  }
}
