// The steps of an automation as a tree: what comes after a step is to its right, and the steps of one
// list stand below each other, in the order in which they run.
import {h, svg} from './dom.js';
import {place} from './format.js';

const WIDTH = 196;
const LINE = 16;
const GAP = {x: 64, y: 16};
const LETTERS = 24; // in a line of a box

const cut = (text) => (text.length > LETTERS ? `${text.slice(0, LETTERS - 1)}…` : text);

// describe is what a step is, in a few lines.
function describe(step) {
  const kind = String(step.kind ?? 'step');
  const notes = [];
  if (step.ref) notes.push(`ref: ${step.ref}`);
  if (kind === 'conditions') for (const c of step.conditions ?? []) notes.push(`${c?.prop} = ${JSON.stringify(c?.value)}`);
  else if (step.url) notes.push(place(step.url));
  const own = ['kind', 'ref', 'url', 'next', 'conditions', 'workflow', 'webhook_url'];
  const options = {...step, ...step.options};
  for (const [name, value] of Object.entries(options)) {
    if (!own.includes(name) && name !== 'options') notes.push(`${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  }
  return {kind, notes};
}

// layout places a step and what follows, and gives the height that it takes.
function layout(node, depth, top) {
  const box = {...node, x: depth * (WIDTH + GAP.x), height: 30 + Math.min(node.notes.length, 4) * LINE, children: []};
  let below = top;
  for (const child of node.steps) {
    const placed = layout(child, depth + 1, below);
    box.children.push(placed.box);
    below = placed.below + GAP.y;
  }
  const all = Math.max(box.height, below - top - GAP.y);
  box.y = top + (node.steps.length ? 0 : 0);
  return {box, below: top + all, deepest: depth};
}

function tree(step) {
  const {kind, notes} = describe(step);
  const inner = kind === 'workflow' && Array.isArray(step.workflow) ? step.workflow : [];
  const next = Array.isArray(step.next) ? step.next : [];
  return {kind, notes, url: step.url, steps: [...inner, ...next].map(tree)};
}

const root = (automation) => ({
  kind: 'trigger', notes: [String(automation.trigger?.event ?? automation.trigger?.kind ?? 'unknown')],
  steps: (Array.isArray(automation.workflow) ? automation.workflow : []).map(tree),
});

// graph draws an automation.
export function graph(automation) {
  const {box, below} = layout(root(automation), 0, 1);
  const depth = (b) => Math.max(b.x, ...b.children.map(depth));
  const width = depth(box) + WIDTH + 2;
  const drawing = svg('svg', {width, height: below + 2, viewBox: `0 0 ${width} ${below + 2}`, role: 'img', 'aria-label': sentence(automation)});
  edges(box, drawing);
  nodes(box, drawing);
  return drawing;
}

function edges(box, drawing) {
  const x = box.x + WIDTH;
  const y = box.y + 15;
  for (const [i, child] of box.children.entries()) {
    const end = {x: child.x + 1, y: child.y + 15};
    const middle = x + GAP.x / 2;
    const d = end.y === y ? `M${x} ${y}H${end.x}` : `M${x} ${y}H${middle - 6}Q${middle} ${y} ${middle} ${y + 6}V${end.y - 6}Q${middle} ${end.y} ${middle + 6} ${end.y}H${end.x}`;
    drawing.append(svg('path', {class: 'edge', d}));
    if (box.children.length > 1) drawing.append(svg('text', {class: 'order', x: middle + 10, y: end.y - 5}, String(i + 1)));
    else if (box.kind === 'conditions') drawing.append(svg('text', {class: 'order', x: middle - 9, y: y - 5}, 'if so'));
    edges(child, drawing);
  }
}

function nodes(box, drawing) {
  const lines = box.notes.slice(0, 4);
  if (box.notes.length > 4) lines[3] = `and ${box.notes.length - 3} more`;
  drawing.append(svg('g', {class: `node ${['trigger', 'conditions', 'webhook'].includes(box.kind) ? box.kind : ''}`},
    svg('title', {}, [box.kind, ...box.notes].join('\n')),
    svg('rect', {x: box.x + 1, y: box.y, width: WIDTH - 2, height: box.height, rx: 8}),
    svg('text', {class: 'kind', x: box.x + 12, y: box.y + 20}, cut(box.kind)),
    lines.map((line, i) => svg('text', {class: 'note', x: box.x + 12, y: box.y + 20 + (i + 1) * LINE}, cut(line)))));
  for (const child of box.children) nodes(child, drawing);
}

const sentence = (automation) => {
  const count = (node) => node.steps.reduce((n, s) => n + 1 + count(s), 0);
  const all = root(automation);
  return `On ${all.notes[0]}, ${count(all)} steps. They are written out under "As text".`;
};

// outline is the same in words.
export function outline(automation) {
  const list = (steps) => h('ol', {}, steps.map((s) => h('li', {}, `${s.kind}${s.notes.length ? ` (${s.notes.join(', ')})` : ''}`, s.steps.length ? list(s.steps) : null)));
  const all = root(automation);
  return h('div', {class: 'outline'}, h('p', {}, `On ${all.notes[0]}:`), list(all.steps));
}
