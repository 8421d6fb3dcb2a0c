// How values are shown.

const clock = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23'});
const date = new Intl.DateTimeFormat(undefined, {month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23'});

// time is a clock time today, and a date before.
export function time(value) {
  const at = new Date(value);
  if (Number.isNaN(at.getTime())) return '';
  return at.toDateString() === new Date().toDateString() ? clock.format(at) : date.format(at);
}

export function duration(ms) {
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${Math.round(ms / 1000) % 60} s`;
  return `${Math.floor(ms / 3_600_000)} h ${Math.round(ms / 60_000) % 60} min`;
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

// place is the host and path of an address, which tell it from others.
export const place = (address) => String(address ?? '').replace(/^https?:\/\//, '');

// outcome is what came of an attempt.
export function outcome(d) {
  return d.status ? String(d.status) : shortError(d.error);
}

function shortError(error) {
  const known = [[/refused/, 'refused'], [/in time|timeout|deadline/, 'timeout'], [/cancelled/, 'cancelled'], [/hung up/, 'hung up'], [/loopback/, 'not sent']];
  return known.find(([pattern]) => pattern.test(error ?? ''))?.[1] ?? 'error';
}

// tone is the colour of a state or status.
export function tone(state) {
  return {
    delivered: 'ok', completed: 'ok', succeeded: 'ok', ready: 'ok', active: 'ok',
    failed: 'bad', error: 'bad', cancelled: 'bad',
    waiting: 'wait', pending: 'wait', processing: 'wait', paused: 'wait',
  }[state] ?? '';
}

const quote = (word) => `'${word.replaceAll("'", String.raw`'\''`)}'`;

// curl is the command that sends a request. A body that a shell can't hold is named as a file.
export function curl(request, body) {
  const words = ['curl', '--request', request.method, quote(request.url)];
  for (const [name, value] of Object.entries(request.headers)) words.push('--header', quote(`${name}: ${value}`));
  const text = new TextDecoder().decode(body);
  const plain = body.length <= 100_000 && !text.includes('\uFFFD') && !text.includes('\0');
  words.push('--data-binary', plain ? quote(text) : '@webhook.json');
  return words.join(' ');
}
