// How the server is, in words, and the numbers beside it.

import { byId, duration, moment, plural, rate, setText, whole } from './dom.js';

const ALL_ZONES = 'as the server is asked';

/** Shows what `/status` says. */
export function showStatus(status) {
  const [verdict, detail] = describe(status);
  show(status.health, verdict, detail);
  setText(byId('version'), `version ${status.version},`);
  setText(byId('started'), `running since ${moment(status.started)}`);
  setText(byId('fact-services'), whole(status.services));
  setText(byId('note-services'), `in ${plural(status.namespaces, 'namespace')}`);
  setText(byId('fact-endpoints'), whole(status.endpoints));
  const quietest = status.watches.reduce((most, watch) => (watch.seconds > (most?.seconds ?? -1) ? watch : most), null);
  setText(byId('fact-heard'), quietest ? quietest.seconds < 0.5 ? 'now' : duration(Math.round(quietest.seconds)) : 'never');
  setText(byId('note-heard'), quietest ? `ago, about ${quietest.resource}` : 'nothing is watched yet');
  const zone = status.zones[0] ?? '';
  byId('zone-link').setAttribute('href', `zone?name=${encodeURIComponent(zone.replace(/\.$/, ''))}`);
  byId('zone-link').title = zone || ALL_ZONES;
}

/** Says that the server does not answer. */
export function showLost(lastHeard) {
  const since = lastHeard ? ` The page shows what it knew at ${moment(lastHeard)}.` : '';
  show('lost', 'No answer from the server', `Trying again.${since} If you came by kubectl port-forward, look whether it still runs.`);
}

/** The numbers that come from the history: `points` of each second, the newest last. */
export function showRates(points) {
  const answered = (point) => Object.values(point.responses).reduce((sum, count) => sum + count, 0);
  const sum = (of, value) => of.reduce((total, point) => total + value(point), 0);
  const recent = points.slice(-10);
  setText(byId('fact-queries'), recent.length ? rate(sum(recent, answered) / recent.length) : '–');
  const all = sum(points, answered);
  const failed = sum(points, (point) => point.responses.SERVFAIL ?? 0);
  setText(byId('fact-failed'), all ? share(failed / all) : 'none');
  const slowest = points.reduce((most, point) => (point.programming.count ? Math.max(most, point.programming.all) : most), -1);
  setText(byId('fact-slowest'), slowest < 0 ? 'none' : `≤ ${duration(slowest)}`);
}

function share(part) {
  if (part === 0) return '0 %';
  return part < 0.0001 ? '< 0.01 %' : `${(part * 100).toPrecision(2)} %`;
}

function show(state, verdict, detail) {
  byId('health').dataset.state = state;
  setText(byId('verdict'), verdict);
  setText(byId('detail'), detail);
  document.title = state === 'healthy' ? 'headless-dns' : `${verdict} · headless-dns`;
}

function describe({ health, since, stalled, pending, stale }) {
  switch (health) {
    case 'stalled': {
      const loops = stalled.map(({ what, seconds }) => `${what} for ${plural(seconds, 'second')}`).join(', ');
      return ['Stalled', `Does not come round: ${loops}. Kubernetes restarts the container when its liveness probe fails.`];
    }
    case 'not-ready':
      return [`Not ready since ${moment(since)}`, `Waiting for: ${pending.join(', ')}.`];
    case 'stale':
      return ['Answers may be out of date', `${capital(stale?.why ?? 'no word from the cluster')}. The last known records are served, and marked as stale.`];
    default:
      return ['Healthy', `Answers are up to date with the cluster, and have been since ${moment(since)}.`];
  }
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
