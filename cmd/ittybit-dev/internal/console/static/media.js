// Media objects and their files, with what is behind them.
import {attempt, h, link} from './dom.js';
import {get} from './api.js';
import {size, time, tone} from './format.js';
import {pretty} from './json.js';

const PAGE = 20;
const EVERY = 3000; // milliseconds: the stream has no media

export class MediaView {
  #page = 1;
  #shown = new Map(); // JSON of what is shown, and its element, by id

  constructor(info) {
    this.info = info;
    this.list = h('div', {class: 'stack'});
    this.more = h('button', {type: 'button', hidden: true, onclick: (e) => attempt(e.currentTarget, () => this.#read(this.#page + 1))}, 'Show older');
    this.empty = h('div', {class: 'empty card', hidden: true}, h('strong', {}, 'No media yet'),
      h('p', {}, 'Upload a file: ', h('code', {}, 'ittybit-dev upload beach.mp4')));
    this.element = h('div', {class: 'page'}, h('header', {class: 'page-head'}, h('h1', {}, 'Media and files')), this.list, this.empty, h('div', {class: 'actions'}, this.more));
    attempt(this.more, () => this.#read(1));
    this.timer = setInterval(() => !document.hidden && this.#read(1).catch(() => {}), EVERY);
  }

  end() { clearInterval(this.timer); }

  async reload() {
    this.#shown.clear();
    this.list.replaceChildren();
    await this.#read(1);
  }

  async #read(page) {
    const all = await get(`/media?limit=${PAGE}&page=${page}`);
    this.#page = Math.max(page, this.#page);
    for (const media of page > 1 ? all : all.toReversed()) this.#set(media, page > 1);
    if (page === this.#page) this.more.hidden = all.length < PAGE;
    this.empty.hidden = this.#shown.size > 0;
  }

  #set(media, older) {
    const json = JSON.stringify(media);
    const known = this.#shown.get(media.id);
    if (known?.json === json) return;
    const element = this.#card(media);
    if (known) known.element.replaceWith(element);
    else if (older) this.list.append(element);
    else this.list.prepend(element);
    this.#shown.set(media.id, {json, element});
  }

  #card(media) {
    const files = media.files ?? [];
    return h('section', {class: 'card', 'aria-label': media.title ?? media.id},
      h('header', {}, h('h2', {}, media.title ?? media.id), h('span', {class: 'badge'}, media.kind ?? 'empty'),
        media.title ? h('code', {class: 'muted'}, media.id) : null, h('span', {class: 'spacer'}), h('span', {class: 'muted'}, time(media.created))),
      h('div', {class: 'body stack'},
        files.length ? h('div', {class: 'files-list'}, files.map((f) => this.#file(f))) : h('p', {class: 'muted'}, 'No files.'),
        inJSON('The media object', media)));
  }

  #file(file) {
    const shape = file.width ? `${file.width} × ${file.height}` : '';
    const length = file.duration ? `${file.duration} s` : '';
    return h('div', {class: 'file'},
      h('div', {class: 'facts-stack'},
        h('div', {class: 'line'}, h('h3', {class: 'break'}, file.filename ?? file.id), h('span', {class: 'badge'}, file.object), h('span', {class: 'badge'}, file.type ?? file.kind),
          file.status && file.status !== 'ready' ? h('span', {class: `badge ${tone(file.status)}`}, file.status) : null),
        h('p', {class: 'muted'}, [shape, length, size(file.filesize ?? 0)].filter(Boolean).join(' · ')),
        h('p', {class: 'mono break'}, link(file.url)),
        inJSON('The file object', file)),
      this.#preview(file));
  }

  // #preview is a picture of what is in the storage here. It has another origin, and runs nothing.
  #preview(file) {
    const here = this.info.storage && String(file.url ?? '').startsWith(`${this.info.storage}/`);
    if (!here || !/^image\//.test(file.type ?? '')) return null;
    return h('img', {class: 'thumb', src: file.url, alt: `Preview of ${file.filename ?? file.id}`, loading: 'lazy', onerror: (e) => e.currentTarget.remove()});
  }
}

function inJSON(label, value) {
  const details = h('details', {ontoggle: () => {
    if (details.open && details.children.length === 1) details.append(pretty(JSON.stringify(value)));
  }}, h('summary', {}, label));
  return details;
}
