// Elements are built from text alone: nothing here parses markup.

const SVG = 'http://www.w3.org/2000/svg';

// h makes an element. A function is a listener, as in {onclick: f}; null and false leave an
// attribute out.
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// svg makes an element of a drawing.
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (name === 'value') element.value = value;
    else if (value === true) element.setAttribute(name, '');
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

// link is a link to another site if that is what the text is, and else the text.
export function link(address) {
  const text = String(address ?? '');
  if (!/^https?:\/\//i.test(text)) return text;
  return h('a', {href: text, target: '_blank', rel: 'noopener noreferrer', class: 'break'}, text);
}

// toast shows a message for a while.
export function toast(text, kind = '') {
  const item = h('div', {class: `toast ${kind}`}, text);
  document.getElementById('toasts').append(item);
  setTimeout(() => item.remove(), 5000);
}

// attempt runs what a button does, and shows what went wrong.
export async function attempt(button, work) {
  button.disabled = true;
  try {
    return await work();
  } catch (error) {
    toast(error.message, 'bad');
    return undefined;
  } finally {
    button.disabled = false;
  }
}

// copy puts a text on the clipboard.
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not a secure context, or not allowed
    const area = h('textarea', {value: text});
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast(`${what} copied`);
}

// confirmed asks before something is done that can't be undone.
export function confirmed(question, button) {
  return new Promise((resolve) => {
    const dialog = h('dialog', {'aria-label': question},
      h('form', {method: 'dialog'}, h('p', {}, question),
        h('div', {class: 'actions'}, h('button', {value: 'yes', class: 'danger'}, button), h('button', {value: 'no'}, 'Keep'))));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// tabs is a choice between views: [name, function that makes its content].
export function tabs(label, choices) {
  const panel = h('div', {role: 'tabpanel', class: 'stack', tabindex: 0});
  const buttons = choices.map(([name, make]) => h('button', {type: 'button', role: 'tab', onclick: () => show(name)}, name));
  const show = (name) => {
    for (const b of buttons) {
      const on = b.textContent === name;
      b.setAttribute('aria-selected', String(on));
      b.tabIndex = on ? 0 : -1;
    }
    panel.setAttribute('aria-label', `${label}: ${name}`);
    panel.replaceChildren(choices.find((c) => c[0] === name)[1]());
  };
  const list = h('div', {class: 'segments', role: 'tablist', 'aria-label': label, onkeydown: (e) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[e.key];
    if (!step) return;
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    next.click();
    next.focus();
  }}, buttons);
  show(choices[0][0]);
  return {list, panel};
}
