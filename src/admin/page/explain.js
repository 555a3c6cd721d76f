// The box that explains a name. What it explains stands in the address of the page, so that a link leads to it.

import { byId, element, getJson, throttled } from './dom.js';

const PAUSE_MS = 1000;
const ANCHOR = /^#explain=(.+)$/;

/** The box. `refresh` explains the name again. */
export function makeExplain() {
  const input = byId('explain-name');
  const place = byId('explanation');
  let name = '';
  let shown = '';
  const refresh = throttled(PAUSE_MS, () => (name ? load() : undefined));

  async function load() {
    const asked = name;
    let parts;
    try {
      parts = explanation(await getJson('explain', { name: asked }));
    } catch (error) {
      parts = [element('p', { class: 'answer' }, String(error.message))];
    }
    const fresh = element('div', {}, ...parts);
    // What has not changed keeps its place, and a focus in it.
    if (name !== asked) return;
    place.dataset.explains = asked;
    if (shown !== fresh.textContent) {
      shown = fresh.textContent;
      place.replaceChildren(...fresh.childNodes);
    }
  }

  function follow() {
    const anchor = ANCHOR.exec(location.hash);
    if (!anchor) return;
    try {
      name = decodeURIComponent(anchor[1]);
    } catch {
      name = anchor[1];
    }
    input.value = name;
    load();
    if (byId('explain-form').getBoundingClientRect().top < 0) byId('explain-title').scrollIntoView({ block: 'start' });
  }

  byId('explain-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const wanted = input.value.trim();
    const anchor = `#explain=${encodeURIComponent(wanted)}`;
    if (!wanted) input.focus();
    else if (location.hash === anchor) load();
    else location.hash = anchor;
  });
  addEventListener('hashchange', follow);
  follow();
  return { refresh };
}

/** The elements that show an explanation. */
function explanation({ resolves, name, verdict, meant, records, reasons, fix, cluster_state: state, served }) {
  const parts = [
    element('p', { class: 'answer', role: 'status' }, element('span', { class: 'name' }, name), ' ', element('span', { class: resolves ? 'yes' : 'no' }, verdict)),
  ];
  if (meant.length) {
    parts.push(list(meant.map((one) => element('a', { href: `#explain=${encodeURIComponent(one)}` }, one))));
  }
  if (records.length) parts.push(list(records));
  parts.push(...reasons.map((reason) => element('p', { class: 'reason' }, capital(reason), /[.!?]$/.test(reason) ? '' : '.')));
  if (fix) parts.push(element('p', { class: 'fix' }, element('b', {}, 'Fix: '), fix, '.'));
  if (state?.length) parts.push(element('h3', {}, 'In the cluster'), element('pre', { class: 'cluster' }, state.join('\n')));
  if (served) {
    parts.push(element('h3', {}, 'Zones of this server'), list([...served.zones, ...served.reverse_zones]));
  }
  return parts;
}

const list = (items) => element('ul', { class: 'lines' }, ...items.map((item) => element('li', {}, item)));
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
