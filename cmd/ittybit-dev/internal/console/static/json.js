// JSON as text and as bytes. It is indented as it was written: numbers keep their digits and objects
// their repeated fields, which a parser would lose.
import {h} from './dom.js';

const SHOWN = 64 * 1024; // characters that are shown at once
const PUNCTUATION = '{}[]:,';
const SPACE = ' \n\r\t';

// words splits JSON, without its white space, one word at a time.
function* words(text) {
  for (let at = 0; at < text.length;) {
    const c = text[at];
    let end = at + 1;
    if (SPACE.includes(c)) {
      at++;
      continue;
    }
    if (c === '"') {
      for (end = text.indexOf('"', end); escaped(text, end); end = text.indexOf('"', end + 1));
      end = end < 0 ? text.length : end + 1;
    } else if (!PUNCTUATION.includes(c)) {
      while (end < text.length && !PUNCTUATION.includes(text[end]) && !SPACE.includes(text[end])) end++;
    }
    yield text.slice(at, end);
    at = end;
  }
}

// escaped reports whether there is a backslash of its own before a character.
function escaped(text, at) {
  let before = at;
  while (before > 0 && text[before - 1] === '\\') before--;
  return (at - before) % 2 === 1;
}

// tokens gives [class, text] pairs, indented. The text of a new line begins with its end of line.
function* tokens(text) {
  const line = (depth) => ['', `\n${'  '.repeat(Math.max(depth, 0))}`];
  const all = words(text);
  let depth = 0;
  for (let word = all.next().value, next; word !== undefined; word = next) {
    next = all.next().value;
    if (word === '{' || word === '[') {
      if (next === '}' || next === ']') {
        yield ['', word + next];
        next = all.next().value;
      } else {
        yield ['', word];
        yield line(++depth);
      }
    } else if (word === '}' || word === ']') {
      yield line(--depth);
      yield ['', word];
    } else if (word === ',') {
      yield ['', word];
      yield line(depth);
    }
    else if (word === ':') yield ['', ': '];
    else if (word[0] === '"') yield [next === ':' ? 'key' : 'string', word];
    else yield ['literal', word];
  }
}

// pretty shows JSON, indented and coloured; a text that is none is shown as it is. What is long is
// shown a part at a time, so that the page stays quick.
export function pretty(text) {
  const box = h('pre', {class: 'code', tabindex: 0, role: 'group', 'aria-label': 'JSON'});
  let parts = [['', text]];
  try {
    JSON.parse(text);
    parts = tokens(text);
  } catch { /* shown as it is */ }
  return inParts(box, pieces(parts), text.length);
}

// pieces splits long tokens.
function* pieces(parts) {
  for (const [kind, text] of parts) {
    for (let at = 0; at < text.length; at += SHOWN) yield [kind, text.slice(at, at + SHOWN)];
  }
}

// inParts shows a part of the pieces, and a button for the next. Each part is a block of its own, so
// that the browser need not lay out again what is there; it begins with a line where there is one.
function inParts(box, parts, total) {
  const more = h('button', {type: 'button', onclick: () => show()}, 'Show more');
  const outer = h('div', {class: 'stack'}, box);
  const iterator = parts[Symbol.iterator]();
  let next = iterator.next();
  const show = () => {
    let shown = 0;
    const nodes = [];
    const full = () => shown >= SHOWN || nodes.length >= 6000;
    while (!next.done && !(full() && (next.value[1][0] === '\n' || shown >= 2 * SHOWN))) {
      const [kind, text] = next.value;
      nodes.push(kind ? h('span', {class: kind}, text) : text);
      shown += text.length;
      next = iterator.next();
    }
    box.append(h('div', {class: 'part'}, nodes));
    if (next.done) more.remove();
    else if (!more.isConnected) outer.append(more);
  };
  if (total > 0) show();
  else box.append('(empty)');
  return outer;
}

const ROWS = 256; // of 16 bytes, shown at once

// dump shows bytes as a hex dump.
export function dump(bytes) {
  const box = h('pre', {class: 'code bytes', tabindex: 0, role: 'group', 'aria-label': 'Bytes'});
  const rows = function* () {
    for (let at = 0; at < bytes.length; at += 16 * ROWS) {
      const lines = [];
      for (let row = at; row < Math.min(at + 16 * ROWS, bytes.length); row += 16) {
        const part = bytes.subarray(row, row + 16);
        const hex = Array.from(part, (b) => b.toString(16).padStart(2, '0'));
        const plain = Array.from(part, (b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '·')).join('');
        lines.push(`${row.toString(16).padStart(8, '0')}  ${hex.slice(0, 8).join(' ').padEnd(23)}  ${hex.slice(8).join(' ').padEnd(23)}  ${plain}\n`);
      }
      const text = lines.join('');
      yield ['', text];
    }
  };
  return inParts(box, rows(), bytes.length);
}
