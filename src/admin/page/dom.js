// What the parts of the page share: elements, numbers, times, requests.
//
// Text from the cluster gets into the document as text alone: nothing here or elsewhere makes markup of a string.

const SVG = 'http://www.w3.org/2000/svg';
const WHOLE = new Intl.NumberFormat('en');
const REQUEST_LIMIT_MS = 5000;

export const byId = (id) => document.getElementById(id);

/** An element with these attributes and children. */
export function element(tag, attributes = {}, ...children) {
  return dressed(document.createElement(tag), attributes, children);
}

/** The same for a drawing. */
export function drawing(tag, attributes = {}, ...children) {
  return dressed(document.createElementNS(SVG, tag), attributes, children);
}

function dressed(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children);
  return node;
}

/** Sets a text if it is another one, so that nothing is announced twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute in the same way. */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Makes the children of `parent` those of `items`, in their order. What stays keeps its element, its focus and its place. */
export function reconcile(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = old.get(key);
    if (child) {
      old.delete(key);
    } else {
      child = create(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of old.values()) child.remove();
}

/** A page of the server as data. The error of a refusal is what the server says. */
export async function getJson(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== '' && value !== undefined));
  const headers = { accept: 'application/json' };
  const signal = AbortSignal.timeout(REQUEST_LIMIT_MS);
  const response = await fetch(query.size ? `${path}?${query}` : path, { headers, signal, cache: 'no-store' });
  const type = response.headers.get('content-type') ?? '';
  if (!type.startsWith('application/json')) throw new Error((await response.text()).trim());
  return response.json();
}

/** Runs `work` when it is asked for, not again while it runs, and not more often than every `pause` milliseconds. */
export function throttled(pause, work) {
  let last = -Infinity;
  let timer = null;
  let running = false;
  let asked = false;
  async function run() {
    timer = null;
    running = true;
    asked = false;
    last = performance.now();
    try {
      await work();
    } finally {
      running = false;
      if (asked) ask();
    }
  }
  function ask() {
    asked = true;
    if (!running && timer === null) timer = setTimeout(run, Math.max(0, last + pause - performance.now()));
  }
  return ask;
}

export const whole = (number) => WHOLE.format(number);
export const plural = (number, one, many = `${one}s`) => `${whole(number)} ${number === 1 ? one : many}`;

/** A rate: with one decimal while it is small. */
export const rate = (number) => (number >= 10 ? whole(Math.round(number)) : short(number));

/** One decimal, unless it is zero. */
const short = (number) => number.toFixed(1).replace(/\.0$/, '');

/** A duration as a person says it, in one unit. */
export function duration(seconds) {
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1e3)} ms`;
  if (seconds < 9.95) return `${short(seconds)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** A moment: the time today, the date too before. */
export function moment(text) {
  const date = new Date(text);
  const time = date.toLocaleTimeString('en-GB');
  if (date.toDateString() === new Date().toDateString()) return time;
  const day = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
  return `${time} on ${day}`;
}

/** An element that shows a moment, and tells all of it. */
export function timeElement(text) {
  return element('time', { datetime: text, title: text }, moment(text));
}
