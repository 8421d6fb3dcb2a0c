// What happens on the server, in every tab: a browser opens six connections to a host, so one tab
// holds the stream, under a lock, and tells the others.
//
// Each notice has an id "<start>-<number>", numbered without gaps. A tab that misses one, or whose
// id the server does not know (it was started again, or the tab was away for long), reads its lists
// again: the event "stale".
import {get} from './api.js';

const NAME = 'ittybit-console';
const SILENCE = 35_000; // the server says something every 15 seconds

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

const split = (id) => {
  const [start, number] = String(id).split('-');
  return {start, number: Number(number)};
};

// Live emits "notice" (detail: kind and data), "stale", and "state" (detail: live, connecting or off).
export class Live extends EventTarget {
  state = 'connecting';
  #position; // the id of the last notice that was taken
  #channel = new BroadcastChannel(NAME);
  #source; // the stream, in the tab that holds it
  #waiting = []; // what came while the lists are read
  #turn; // ends the wait for the lock
  #heard = Date.now();
  #ticked = Date.now();

  constructor() {
    super();
    this.#channel.onmessage = ({data}) => this.#fromTab(data);
  }

  // start reads the lists, and then goes on from the position that the function gives. What the
  // other tabs hear meanwhile is taken afterwards.
  async start(read) {
    await this.#readAll(read);
    this.#channel.postMessage({kind: 'who'});
    document.addEventListener('visibilitychange', () => this.#lookedAt());
    document.addEventListener('resume', () => this.#lookedAt());
    window.addEventListener('online', () => this.#lookedAt());
    setInterval(() => this.#tick(), 5000);
    if (navigator.locks) this.#queue();
    else if (!document.hidden) this.#open(); // not a secure context: each tab that is looked at has its own
  }

  // reload reads the lists again.
  async reload(read) {
    if (this.#waiting) return;
    this.#waiting = [];
    await this.#readAll(read);
  }

  async #readAll(read) {
    for (;;) {
      try {
        this.#position = (await read()) ?? this.#position;
        break;
      } catch (error) {
        if (error.status === 401) break;
        this.#setState('off');
        await pause(1000);
      }
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const notice of waiting) this.#take(notice);
  }

  // #queue waits for the lock, and holds the stream then. A tab that another one takes it from
  // queues up again.
  #queue() {
    this.#turn = new AbortController();
    this.#hold({signal: this.#turn.signal});
  }

  // #steal takes the stream from a tab that may be asleep.
  #steal() {
    this.#heard = Date.now();
    this.#turn.abort();
    this.#hold({steal: true});
  }

  #hold(options) {
    const held = () => {
      this.#open();
      return new Promise(() => {}); // until the tab is closed
    };
    navigator.locks.request(NAME, options, held).catch(() => {
      if (options.signal?.aborted) return; // to steal it
      this.#close();
      this.#queue();
    });
  }

  #open() {
    this.#close();
    const source = new EventSource(`/api/_local/stream?last_event_id=${encodeURIComponent(this.#position)}`);
    this.#source = source;
    source.onopen = () => this.#send({kind: 'state', state: 'live'});
    source.onerror = () => {
      source.close();
      if (this.#source !== source) return;
      this.#send({kind: 'state', state: 'off'});
      setTimeout(() => this.#source === source && this.#open(), 1000);
    };
    for (const kind of ['delivery', 'task', 'reset', 'ping']) {
      source.addEventListener(kind, (e) => this.#send({kind, id: e.lastEventId, data: e.data}));
    }
  }

  #close() {
    this.#source?.close();
    this.#source = undefined;
  }

  // #send takes what the stream brought, and tells the other tabs.
  #send(message) {
    if (navigator.locks) this.#channel.postMessage(message);
    this.#receive(message);
  }

  #fromTab(message) {
    if (message.kind === 'who') {
      if (this.#source) this.#channel.postMessage({kind: 'state', state: this.state});
    } else if (navigator.locks) this.#receive(message);
  }

  #receive(message) {
    this.#heard = Date.now();
    if (message.kind === 'state') this.#setState(message.state);
    else if (message.kind !== 'ping') this.#take(message);
  }

  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent('state', {detail: state}));
  }

  #take(notice) {
    if (this.#waiting) {
      this.#waiting.push(notice);
      return;
    }
    const own = split(this.#position);
    const {start, number} = split(notice.id);
    if (start === own.start && number <= own.number) return;
    if (start !== own.start || number !== own.number + 1 || notice.kind === 'reset') {
      this.dispatchEvent(new Event('stale'));
      return;
    }
    this.#position = notice.id;
    this.dispatchEvent(new CustomEvent('notice', {detail: {kind: notice.kind, data: JSON.parse(notice.data)}}));
  }

  // #lookedAt catches up when the tab is looked at again.
  async #lookedAt() {
    if (!navigator.locks) {
      if (document.hidden) this.#close();
      else if (!this.#source) this.#open();
      return;
    }
    if (document.hidden) return;
    if (this.state !== 'live' && !this.#source) this.#steal();
    const behind = (id) => {
      const [there, own] = [split(id), split(this.#position)];
      return there.start !== own.start || there.number > own.number;
    };
    try {
      const {stream} = await get('/_local/');
      if (!behind(stream)) return;
      await pause(500); // it may be on its way
      if (behind(stream)) this.dispatchEvent(new Event('stale'));
    } catch { /* the stream's state says so */ }
  }

  // #tick notices that the computer slept, and that the stream is silent.
  #tick() {
    const slept = Date.now() - this.#ticked > 20_000;
    this.#ticked = Date.now();
    if (document.hidden) return;
    if (slept) this.#lookedAt();
    if (Date.now() - this.#heard < SILENCE) return;
    this.#setState('off');
    if (this.#source) {
      this.#heard = Date.now();
      this.#open();
    } else if (navigator.locks) this.#steal();
  }
}
