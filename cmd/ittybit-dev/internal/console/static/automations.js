// Automations, each drawn as a graph of its steps.
import {attempt, h} from './dom.js';
import {get} from './api.js';
import {graph, outline} from './graph.js';
import {time, tone} from './format.js';
import {pretty} from './json.js';

export class AutomationsView {
  constructor(info) {
    this.list = h('div', {class: 'stack'});
    this.refresh = h('button', {type: 'button', onclick: () => attempt(this.refresh, () => this.reload())}, 'Refresh');
    this.element = h('div', {class: 'page'},
      h('header', {class: 'page-head'}, h('h1', {}, 'Automations'), h('span', {class: 'spacer'}), this.refresh), this.list);
    attempt(this.refresh, () => this.reload());
  }

  async reload() {
    const all = [];
    for (let page = 1; ; page++) {
      const some = await get(`/automations?limit=100&page=${page}`);
      all.push(...some);
      if (some.length < 100) break;
    }
    this.list.replaceChildren(...(all.length ? all.map((a) => card(a))
      : [h('div', {class: 'empty card'}, h('strong', {}, 'No automations yet'), h('p', {}, 'Create one with ', h('code', {}, 'client.Automations.Create')))]));
  }
}

function card(automation) {
  return h('section', {class: 'card', 'aria-label': automation.name ?? automation.id},
    h('header', {}, h('h2', {}, automation.name ?? automation.id), h('span', {class: `badge ${tone(automation.status)}`}, automation.status ?? ''),
      h('code', {class: 'muted'}, automation.id), h('span', {class: 'spacer'}), h('span', {class: 'muted'}, time(automation.created))),
    automation.description ? h('p', {class: 'body muted'}, automation.description) : null,
    h('div', {class: 'graph', tabindex: 0, role: 'group', 'aria-label': 'Graph of the steps'}, graph(automation)),
    h('div', {class: 'body stack'}, h('details', {}, h('summary', {}, 'As text'), outline(automation)),
      h('details', {}, h('summary', {}, 'As JSON'), pretty(JSON.stringify(automation)))));
}
