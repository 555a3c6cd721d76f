// The list of Services, a page at a time, and behind each name its endpoints. The server searches; the browser shows.

import { byId, element, getJson, moment, plural, reconcile, setAttribute, setText, throttled, timeElement, whole } from './dom.js';

const PAUSE_MS = 400;
const TYPING_MS = 150;
/** Services on a page. */
const PAGE = 25;
/** Endpoints from which on they can be searched. */
const MANY_ENDPOINTS = 12;
const STATES = { ready: 'ready', 'not-ready': 'not ready', terminating: 'terminating', terminated: 'terminated' };

const keyOf = ({ namespace, service }) => `${namespace}/${service}`;

/** The list. `refresh` asks the server again. */
export function makeServices() {
  /** Where each page begins: none for the first. */
  const beginnings = [undefined];
  /** The Services that are open: the text that their endpoints are searched for, and what the server said last. */
  const open = new Map();
  let services = [];
  let next = null;
  const search = byId('services-search');
  const absent = byId('services-absent');
  const refresh = throttled(PAUSE_MS, load);

  async function load() {
    try {
      const page = await getJson('services', { limit: PAGE, search: search.value.trim(), absent: absent.checked ? 'true' : undefined, continue: beginnings.at(-1) });
      ({ services } = page);
      next = page.continue;
      if (!services.length && beginnings.length > 1) {
        beginnings.pop();
        return refresh();
      }
      show(page);
    } catch (error) {
      setText(byId('found'), String(error.message));
    }
    // One after the other: few clients at a time are served.
    for (const key of open.keys()) await loadEndpoints(key);
    return undefined;
  }

  async function loadEndpoints(key) {
    const [namespace, service] = key.split('/');
    const asked = open.get(key);
    if (!asked) return;
    try {
      const state = await getJson('service', { namespace, service, search: asked.search });
      if (open.get(key) === asked) asked.state = state;
    } catch (error) {
      asked.problem = String(error.message);
    }
    showRows();
  }

  function show({ known, fitting }) {
    const shown = fitting === known ? `${whole(known)} known` : `${whole(fitting)} of ${whole(known)} fit`;
    setText(byId('found'), shown);
    showEmpty(known);
    byId('pager').hidden = beginnings.length === 1 && !next;
    byId('previous').disabled = beginnings.length === 1;
    byId('next').disabled = !next;
    setText(byId('pager-place'), services.length ? `${keyOf(services[0])} – ${keyOf(services.at(-1))}` : '');
    showRows();
  }

  function showEmpty(known) {
    const empty = byId('services-empty');
    empty.hidden = services.length > 0;
    if (services.length) return;
    if (search.value.trim()) setText(empty, `No Service fits “${search.value.trim()}”. Names, namespaces, Pods, addresses and whole DNS names can be searched.`);
    else if (absent.checked && known) setText(empty, 'Every endpoint has its name.');
    else setText(empty, 'No Service is known yet. Create one with clusterIP: None, and it appears here at once.');
  }

  function showRows() {
    const rows = services.flatMap((service) => {
      const details = open.get(keyOf(service));
      return details ? [{ service, details: null }, { service, details }] : [{ service, details: null }];
    });
    reconcile(
      byId('services'), rows,
      ({ service, details }) => (details ? `endpoints of ${keyOf(service)}` : keyOf(service)),
      (row) => (row.details ? makeDetails(row.service) : makeRow(row.service)),
      (node, row) => (row.details ? updateDetails(node, row) : updateRow(node, row.service)),
    );
  }

  function makeRow(service) {
    const name = element('span', { class: 'name' }, element('span', { class: 'namespace' }, `${service.namespace}/`), service.service);
    const button = element('button', { type: 'button', class: 'open-service', 'aria-expanded': 'false' }, name);
    button.addEventListener('click', () => toggle(keyOf(service)));
    return element(
      'tr', {},
      element('td', {}, button), element('td'), element('td', { class: 'number' }),
      element('td', {}, element('span', { class: 'state' }), element('span', { class: 'aside' })),
    );
  }

  function updateRow(row, service) {
    const [name, kind, endpoints, state] = row.children;
    setAttribute(name.firstElementChild, 'aria-expanded', String(open.has(keyOf(service))));
    setText(kind, service.kind ?? 'not served');
    const [className, text] = stateOf(service);
    const shown = `${service.endpoints}${text}`;
    if (row.dataset.shown !== undefined && row.dataset.shown !== shown) flash(row);
    row.dataset.shown = shown;
    const hasEndpoints = service.endpoints || service.absent || service.kind === 'Headless';
    setText(endpoints, !hasEndpoints ? '' : service.absent ? `${whole(service.endpoints)} of ${whole(service.endpoints + service.absent)}` : whole(service.endpoints));
    setAttribute(state.firstElementChild, 'class', `state ${className}`);
    setText(state.firstElementChild, text);
    setText(state.lastElementChild, service.why ?? service.target ?? '');
  }

  function toggle(key) {
    if (!open.delete(key)) {
      open.set(key, { search: '', state: null });
      loadEndpoints(key);
    }
    showRows();
  }

  function makeDetails(service) {
    const key = keyOf(service);
    const input = element('input', { type: 'search', placeholder: 'Endpoint, Pod or address', autocomplete: 'off', 'aria-label': `Search endpoints of ${key}` });
    let typing;
    input.addEventListener('input', () => {
      clearTimeout(typing);
      typing = setTimeout(() => {
        open.set(key, { ...open.get(key), search: input.value.trim() });
        loadEndpoints(key);
      }, TYPING_MS);
    });
    const heads = ['Name', 'Address', 'State', 'From'].map((text) => element('th', { scope: 'col' }, text));
    return element(
      'tr', { class: 'inside' },
      element(
        'td', { colspan: '4' },
        element('p', { class: 'summary' }, 'Asking the server …'),
        element('div', { class: 'search' }, input),
        element('table', { class: 'endpoints', hidden: true }, element('caption', { class: 'unseen' }, `Endpoints of ${key}`), element('thead', {}, element('tr', {}, ...heads)), element('tbody')),
        element('p', { class: 'empty', hidden: true }),
      ),
    );
  }

  function updateDetails(row, { service, details }) {
    const [summary, bar, table, rest] = row.firstElementChild.children;
    const { state, problem, search: wanted } = details;
    bar.hidden = !state || (!wanted && state.total <= MANY_ENDPOINTS);
    if (problem) setText(summary, problem);
    if (!state) return;
    setText(summary, state.why ? `${state.summary}. ${state.why}.` : `${state.summary}.`);
    const { endpoints, total } = state;
    table.hidden = !endpoints.length;
    reconcile(
      table.tBodies[0], endpoints,
      ({ name, source, addresses }) => `${name} ${source} ${addresses[0]}`,
      (endpoint) => makeEndpoint(endpoint, service),
      updateEndpoint,
    );
    rest.hidden = endpoints.length > 0 && total === endpoints.length;
    if (endpoints.length) setText(rest, `${whole(endpoints.length)} of ${plural(total, 'endpoint')} are shown; search for the others.`);
    else setText(rest, wanted ? `No endpoint fits “${wanted}”.` : 'It has no endpoint.');
  }

  function makeEndpoint({ name, source }, service) {
    const whole = `${name}.${service.service}.${service.namespace}`;
    const link = element('a', { class: 'mono', href: `#explain=${encodeURIComponent(whole)}`, title: `Explain ${whole}` }, name);
    return element(
      'tr', {},
      element('td', {}, link), element('td', { class: 'mono' }),
      element('td', {}, element('span', { class: 'state' }), element('span', { class: 'aside' })),
      element('td', {}, source, element('span', { class: 'aside why' })),
    );
  }

  function updateEndpoint(row, endpoint) {
    const [, address, state, from] = row.children;
    setText(address, endpoint.addresses.join(' ') || 'none yet');
    const [label, since] = state.children;
    if (label.textContent && label.textContent !== STATES[endpoint.state]) flash(row);
    setAttribute(label, 'class', `state ${endpoint.state}`);
    setText(label, STATES[endpoint.state]);
    const text = endpoint.since ? `since ${moment(endpoint.since)}` : '';
    if (since.textContent !== text) since.replaceChildren(...(text ? ['since ', timeElement(endpoint.since)] : []));
    const why = endpoint.why ?? (endpoint.resolves ? '' : 'has no name now');
    setText(from.lastElementChild, why);
  }

  let typing;
  const again = () => {
    beginnings.length = 1;
    refresh();
  };
  search.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(again, TYPING_MS);
  });
  absent.addEventListener('change', again);
  byId('services-form').addEventListener('submit', (event) => {
    event.preventDefault();
    again();
  });
  byId('previous').addEventListener('click', () => {
    beginnings.pop();
    refresh();
  });
  byId('next').addEventListener('click', () => {
    if (next) beginnings.push(next);
    refresh();
  });
  return { refresh };
}

/** How a Service is: a class and a word. */
function stateOf({ kind, resolves, endpoints, absent, why }) {
  if (absent && (endpoints || resolves)) return ['not-ready', `${plural(absent, 'name')} absent`];
  if (resolves || endpoints) return ['ready', 'answered'];
  if (!kind) return ['absent', 'not served'];
  return ['absent', why ? 'absent' : 'no endpoints'];
}

/** Marks a row for a moment. */
function flash(row) {
  row.classList.remove('changed');
  requestAnimationFrame(() => row.classList.add('changed'));
}
