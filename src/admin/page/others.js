// Upstreams and zone transfers, where they are configured.

import { byId, element, getJson, moment, plural, whole } from './dom.js';

/** Shows both. `status` says which of them there are. */
export async function showOthers(status) {
  await Promise.all([
    part('upstreams', status.forwards, upstreams, 'Names outside the zones are refused. With forward, this server asks others for them.'),
    part('transfers', status.transfers, transfers, 'No secondary may transfer the zones. With transfer_clients, Knot, NSD, BIND and others can follow them.'),
  ]);
}

async function part(page, isThere, render, otherwise) {
  let parts;
  try {
    parts = isThere ? render(await getJson(page)) : [element('p', { class: 'empty' }, otherwise)];
  } catch (error) {
    parts = [element('p', { class: 'empty' }, String(error.message))];
  }
  const fresh = element('div', {}, ...parts);
  const place = byId(page);
  if (!place.isEqualNode(fresh)) place.replaceChildren(...fresh.childNodes);
}

function upstreams({ upstreams: all, cache }) {
  const rows = all.map(({ to, working, loops, responses, failures }) => [
    mono(to),
    element('span', { class: `state ${working ? 'ready' : 'absent'}` }, `${working ? 'answers' : 'fails'}${loops ? `, loops in ${plural(loops, 'part')}` : ''}`),
    whole(responses),
    whole(failures),
  ]);
  const { entries, octets, hits, misses, stale } = cache;
  const share = hits + misses ? `${Math.round((hits / (hits + misses)) * 100)} % of questions answered from it` : 'nothing asked yet';
  const old = stale ? `, ${whole(stale)} of them after their TTL` : '';
  return [
    table('Upstreams', ['Address', 'State', 'Responses', 'Failures'], rows),
    element('p', { class: 'empty' }, `Cache: ${plural(entries, 'answer')} in ${Math.ceil(octets / 1024)} KiB; ${share}${old}.`),
  ];
}

function transfers({ serial, history, running, secondaries, notify }) {
  const version = serial === null ? 'No version yet.' : `Version ${serial}, differences to ${plural(history, 'older version')}, ${plural(running, 'transfer')} running.`;
  const rows = secondaries.map(({ address, zone, serial: has, behind, at }) => [mono(address), mono(zone), behindText(behind), `${has}, ${moment(at)}`]);
  const told = notify.map(({ to, serial: said, answered, unanswered }) => [mono(to), String(said), answered === null ? 'never' : String(answered), whole(unanswered)]);
  const parts = [element('p', { class: 'summary' }, version)];
  if (rows.length) parts.push(table('Secondaries', ['Secondary', 'Zone', 'Behind', 'Has'], rows));
  else parts.push(element('p', { class: 'empty' }, 'No secondary has asked yet.'));
  if (told.length) parts.push(element('h3', {}, 'Notified'), table('Notified', ['Secondary', 'Told of', 'Answered', 'Zones unanswered'], told));
  return parts;
}

function behindText(behind) {
  const text = behind === null ? 'unknown' : behind === 0 ? 'up to date' : plural(behind, 'version');
  return element('span', { class: `state ${behind === 0 ? 'ready' : 'not-ready'}` }, text);
}

const mono = (text) => element('span', { class: 'mono' }, text);

function table(caption, heads, rows) {
  const head = element('tr', {}, ...heads.map((text) => element('th', { scope: 'col' }, text)));
  const body = rows.map((cells) => element('tr', {}, ...cells.map((cell) => element('td', {}, cell))));
  return element('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': `Table of ${caption.toLowerCase()}` }, element('table', {}, element('caption', { class: 'unseen' }, caption), element('thead', {}, head), element('tbody', {}, ...body)));
}
