// The charts: ten minutes, a second at a time, drawn as paths. Each says in words what it shows, follows the pointer, and can be
// walked through with the arrow keys.

import { byId, drawing, duration, element, plural, rate, setAttribute, setText } from './dom.js';

/** Seconds that are shown, and the height of a drawing in its own units. */
const SHOWN = 600;
const HEIGHT = 100;
/** Steps of the keyboard in seconds. */
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -60, PageDown: 60 };

const RCODES = [
  { name: 'NOERROR', text: 'NOERROR' },
  { name: 'NXDOMAIN', text: 'NXDOMAIN' },
  { name: 'other', text: 'other' },
  { name: 'SERVFAIL', text: 'SERVFAIL' },
];
const DURATIONS = [
  { name: 'programming', text: 'from the change in the cluster' },
  { name: 'publication', text: 'of that in this server' },
];

/** What is said of a second that was not healthy. */
const HEALTH = { stale: '; answers may be out of date', 'not-ready': '; not ready', stalled: '; stalled' };

/** Both charts. `draw` shows points: one for each second, the newest last. */
export function makeCharts() {
  const queries = new Chart(byId('queries'), RCODES, 'No query in the last ten minutes.');
  const freshness = new Chart(byId('freshness'), DURATIONS, 'Nothing has changed in the last ten minutes. Delete a Pod, and look here.');
  return {
    draw(points) {
      drawQueries(queries, points);
      drawFreshness(freshness, points);
    },
  };
}

class Chart {
  constructor(figure, series, nothing) {
    this.figure = figure;
    this.title = figure.querySelector('h2').textContent;
    this.readout = figure.querySelector('.readout');
    this.band = drawing('path', { class: 'band' });
    this.grid = drawing('path', { class: 'grid' });
    this.cursor = drawing('path', { class: 'cursor' });
    this.paths = new Map(series.map(({ name }) => [name, drawing('path', { class: name })]));
    this.svg = drawing(
      'svg',
      { viewBox: `0 0 ${SHOWN} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', tabindex: '0' },
      this.band, this.grid, ...this.paths.values(), this.cursor,
    );
    this.scales = element('div', { 'aria-hidden': 'true' });
    this.nothing = element('p', { class: 'nothing', hidden: true }, element('span', {}, nothing));
    const times = element('div', { class: 'times', 'aria-hidden': 'true' }, ...['10 min ago', '5 min', 'now'].map((text) => element('span', {}, text)));
    const entry = ({ name, text }) => element('li', {}, element('span', { class: `swatch ${name}` }), text);
    const legend = series.map(entry);
    this.bandEntry = entry({ name: 'band', text: 'out of date or not ready' });
    figure.append(
      element('div', { class: 'plot' }, this.svg, this.scales, this.nothing),
      times,
      element('ul', { class: 'legend' }, ...legend, this.bandEntry),
    );
    this.points = [];
    this.at = null;
    this.follow();
  }

  /** Which second is looked at: under the pointer, or by the keyboard. */
  follow() {
    this.svg.addEventListener('pointermove', (event) => {
      const box = this.svg.getBoundingClientRect();
      this.look(Math.floor(((event.clientX - box.left) / box.width) * SHOWN));
    });
    this.svg.addEventListener('pointerleave', () => this.look(null));
    this.svg.addEventListener('blur', () => this.look(null));
    this.svg.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') return this.look(null);
      if (!(event.key in STEPS)) return undefined;
      event.preventDefault();
      this.readout.setAttribute('aria-live', 'polite');
      return this.look((this.at ?? SHOWN) + STEPS[event.key]);
    });
  }

  look(at) {
    const first = SHOWN - this.points.length;
    this.at = at === null || !this.points.length ? null : Math.min(SHOWN - 1, Math.max(first, at));
    if (this.at === null) this.readout.removeAttribute('aria-live');
    this.showReadout();
  }

  showReadout() {
    const { at, points } = this;
    this.cursor.setAttribute('d', at === null ? '' : `M${at + 0.5} 0V${HEIGHT}`);
    const point = at === null ? null : points[at - (SHOWN - points.length)];
    const ago = SHOWN - 1 - (at ?? 0);
    setText(this.readout, point ? `${ago ? `${duration(ago)} ago` : 'now'}: ${this.describe(point)}${HEALTH[point.health] ?? ''}` : this.now);
  }

  /** Shows points. `lines` are heights with their texts, `paths` drawings by name. */
  show(points, { paths, lines, now, summary, describe, isEmpty }) {
    Object.assign(this, { points, now, describe });
    for (const [name, path] of this.paths) path.setAttribute('d', paths[name] ?? '');
    this.grid.setAttribute('d', lines.map(({ y }) => `M0 ${y}H${SHOWN}`).join(''));
    const first = SHOWN - points.length;
    const bands = points.map(({ health }, i) => (health === 'healthy' ? '' : `M${first + i} 0h1V${HEIGHT}h-1z`));
    this.band.setAttribute('d', bands.join(''));
    this.bandEntry.hidden = bands.every((band) => !band);
    this.showScales(lines);
    this.nothing.hidden = !isEmpty;
    setAttribute(this.svg, 'aria-label', `${this.title}. ${summary} Arrow keys read single seconds.`);
    this.showReadout();
  }

  showScales(lines) {
    const key = lines.map(({ y, text }) => `${Math.round(y)} ${text}`).join();
    if (this.shownLines === key) return;
    this.shownLines = key;
    this.scales.replaceChildren(
      ...lines.filter(({ text }) => text).map(({ y, text }) => {
        const scale = element('span', { class: 'scale' }, text);
        scale.style.top = `${y}%`;
        return scale;
      }),
    );
  }
}

/** The number of responses of a point by series. */
function bySeries({ responses }) {
  const counts = { NOERROR: 0, NXDOMAIN: 0, other: 0, SERVFAIL: 0 };
  for (const [rcode, count] of Object.entries(responses)) counts[rcode in counts ? rcode : 'other'] += count;
  return counts;
}

function drawQueries(chart, points) {
  const counts = points.map(bySeries);
  const total = (count) => RCODES.reduce((sum, { name }) => sum + count[name], 0);
  const most = counts.reduce((most, count) => Math.max(most, total(count)), 0);
  const top = roundUp(most);
  const y = (value) => (1 - value / top) * HEIGHT;
  const base = new Array(points.length).fill(0);
  const paths = {};
  for (const { name } of RCODES) {
    const upper = counts.map((count, i) => base[i] + count[name]);
    if (upper.some((value, i) => value > base[i])) paths[name] = area(base.map(y), upper.map(y));
    upper.forEach((value, i) => (base[i] = value));
  }
  const words = (count) => RCODES.filter(({ name }) => count[name]).map(({ name, text }) => `${rate(count[name])} ${text}`).join(', ');
  const recent = counts.slice(-10);
  const mean = Object.fromEntries(RCODES.map(({ name }) => [name, recent.reduce((sum, count) => sum + count[name], 0) / (recent.length || 1)]));
  chart.show(points, {
    paths,
    lines: most ? [{ y: 0, text: `${rate(top)}/s` }, { y: HEIGHT / 2, text: `${rate(top / 2)}/s` }, { y: HEIGHT, text: '0' }] : [{ y: HEIGHT }],
    now: total(mean) ? `a second: ${words(mean)}` : 'none now',
    summary: most ? `At most ${rate(most)} a second in ten minutes; now ${total(mean) ? words(mean) : 'none'}.` : 'None in ten minutes.',
    describe: (point) => words(bySeries(point)) || 'no query',
    isEmpty: !most,
  });
}

/** The area between two steps of heights. */
function area(lower, upper) {
  const first = SHOWN - upper.length;
  let path = `M${first} ${round(lower[0])}`;
  upper.forEach((y, i) => (path += `V${round(y)}H${first + i + 1}`));
  for (let i = lower.length - 1; i >= 0; i -= 1) path += `V${round(lower[i])}H${first + i}`;
  return `${path}Z`;
}

const round = (number) => Math.round(number * 10) / 10;

/** The next number whose half and whole are easy to read. */
function roundUp(number) {
  if (number <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((digit) => digit * power).find((step) => step >= number);
}

function drawFreshness(chart, points) {
  const known = points.flatMap((point) => DURATIONS.filter(({ name }) => point[name].count).flatMap(({ name }) => [point[name].half, point[name].all]));
  const low = Math.floor(Math.log10(Math.min(1e-3, ...known)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(1, ...known)) - 1e-9), low + 1);
  const y = (seconds) => (1 - (Math.log10(seconds) - low) / (high - low)) * HEIGHT;
  const first = SHOWN - points.length;
  const paths = {};
  for (const { name } of DURATIONS) {
    // A range from what half of the changes took to what all took; a dot where that is the same.
    paths[name] = points.map((point, i) => (point[name].count ? `M${first + i + 0.5} ${round(y(point[name].half))}V${round(y(point[name].all)) - 0.1}` : '')).join('');
  }
  const lines = [];
  for (let power = low; power <= high; power += 1) lines.push({ y: y(10 ** power), text: duration(10 ** power) });
  const changes = points.reduce((sum, { publication }) => sum + publication.count, 0);
  const slowest = points.reduce((most, { programming }) => (programming.count ? Math.max(most, programming.all) : most), 0);
  const within = slowest ? `, each answered within ${duration(slowest)}` : '';
  chart.show(points, {
    paths,
    lines,
    now: changes ? `${plural(changes, 'change')} in ten minutes` : '',
    summary: changes ? `${plural(changes, 'change')} in ten minutes${within}.` : 'Nothing has changed in ten minutes.',
    describe: describeChanges,
    isEmpty: !known.length,
  });
}

function describeChanges({ programming, publication }) {
  if (!publication.count && !programming.count) return 'no change';
  const parts = [plural(Math.max(publication.count, programming.count), 'change')];
  if (programming.count) parts.push(`answered within ${duration(programming.all)}`);
  if (publication.count) parts.push(`${duration(publication.all)} in this server`);
  return parts.join(', ');
}
