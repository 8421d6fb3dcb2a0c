// The page: its sections, and what is live.
import {get} from './api.js';
import {DeliveriesView} from './deliveries.js';
import {Live} from './live.js';
import {Records} from './records.js';
import {h} from './dom.js';

// The sections that are made when they are looked at: [file, name of the view].
const SECTIONS = {
  compose: ['./compose.js', 'ComposeView'], tasks: ['./tasks.js', 'TasksView'], media: ['./media.js', 'MediaView'],
  automations: ['./automations.js', 'AutomationsView'], faults: ['./faults.js', 'FaultsView'],
};
const DRIVES = ['compose', 'faults']; // not under listen

const main = document.getElementById('main');
const live = new Live();
const navigate = (hash) => { window.location.hash = hash; };

let deliveries;
let current; // the view that is shown
let routed = 0; // counts what was asked for

async function start() {
  document.addEventListener('signed-out', () => notice('This page is no longer signed in. Open the address that ittybit-dev printed.'));
  live.addEventListener('state', ({detail}) => showState(detail));
  const records = new Records();
  const first = records.load(); // beside what follows, so that the list is there sooner
  first.catch(() => {}); // it is asked for again
  const info = await untilReached(() => get('/console'));
  document.getElementById('mode').textContent = info.forward ? 'listen' : 'serve';
  document.getElementById('address').textContent = info.forward ? `${info.api} → ${info.forward}` : info.api;
  if (info.forward) for (const item of document.querySelectorAll('.drives')) item.remove();
  deliveries = new DeliveriesView(info, navigate, records, first);
  live.addEventListener('stale', () => live.reload(readAgain));
  live.addEventListener('notice', ({detail: {kind, data}}) => {
    if (kind === 'delivery') deliveries.take(data);
    current?.take?.(kind, data);
  });
  window.addEventListener('hashchange', () => route(info));
  await route(info);
  await live.start(() => deliveries.load());
}

// readAgain reads what is shown again.
async function readAgain() {
  const position = await deliveries.load();
  await current?.reload?.();
  return position;
}

async function untilReached(read) {
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (error.status === 401) throw error;
      showState('off');
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
    }
  }
}

// route shows what the address names, such as #/deliveries/dlv_abc.
async function route(info) {
  const [, name = '', id = ''] = window.location.hash.split('/');
  const view = SECTIONS[name] && !(info.forward && DRIVES.includes(name)) ? name : 'deliveries';
  for (const a of document.querySelectorAll('nav a')) {
    if (a.dataset.view === view) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  document.title = `${view[0].toUpperCase()}${view.slice(1)} · ittybit-dev`;
  current?.end?.();
  current = undefined;
  routed++;
  if (view === 'deliveries') {
    if (!deliveries.element.isConnected) main.replaceChildren(deliveries.element);
    deliveries.show(decode(id));
    return;
  }
  const [file, type] = SECTIONS[view];
  const turn = ++routed;
  const module = await import(file);
  if (turn !== routed) return;
  const shown = new module[type](info, navigate, decode(id));
  current = shown;
  main.replaceChildren(shown.element);
  main.scrollTop = 0;
  main.focus({preventScroll: true});
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function showState(state) {
  document.getElementById('live').dataset.state = state;
  document.getElementById('live-text').textContent = {live: 'Live', off: 'Disconnected', connecting: 'Connecting'}[state];
}

function notice(text) {
  const box = document.getElementById('notice');
  box.hidden = false;
  box.replaceChildren(h('span', {role: 'alert'}, text));
}

start();
