// The page: asks the server how it is twice a second and more, and the parts for the rest when something has changed.
//
//   /status  ──▶ status.js     health and numbers; says whether records have changed and whether there are new points
//   /history ──▶ charts.js     what happened in each second; kept here for ten minutes
//   /services, /service ──▶ services.js      /explain ──▶ explain.js      /upstreams, /transfers ──▶ others.js
//
// It asks nothing while nobody looks, and nothing that it asks changes anything.

import { makeCharts } from './charts.js';
import { getJson } from './dom.js';
import { makeExplain } from './explain.js';
import { showOthers } from './others.js';
import { makeServices } from './services.js';
import { showLost, showRates, showStatus } from './status.js';

const POLL_MS = 400;
/** Pause after a failure. */
const RETRY_MS = 1500;
/** The reasons for absent names follow records about 100 ms later. */
const REASONS_MS = 250;
/** What changes without a record is asked for this often. */
const SLOW_MS = 3000;
const SHOWN_POINTS = 600;

const charts = makeCharts();
const services = makeServices();
const explain = makeExplain();

let serial = null;
let started = null;
let lastHeard = null;
let failures = 0;
let slowAt = -Infinity;
/** The points of the history, the newest last, and the number of the next one. */
let points = [];
let next = 0;

async function poll() {
  if (document.hidden) return document.addEventListener('visibilitychange', poll, { once: true });
  try {
    const status = await getJson('status');
    lastHeard = status.now;
    showStatus(status);
    await follow(status);
    failures = 0;
  } catch {
    failures += 1;
    // One connection may have given way to those of others.
    if (failures > 1) showLost(lastHeard);
    return setTimeout(poll, failures > 1 ? RETRY_MS : POLL_MS);
  }
  return setTimeout(poll, POLL_MS);
}

/** Asks for what a status says is new. */
async function follow(status) {
  if (status.started !== started) {
    // Another process: its points have other numbers.
    ({ started } = status);
    [points, next] = [[], 0];
  }
  if (status.serial !== serial) {
    ({ serial } = status);
    refresh();
    setTimeout(refresh, REASONS_MS);
  }
  if (performance.now() - slowAt > SLOW_MS) {
    slowAt = performance.now();
    services.refresh();
    showOthers(status);
  }
  if (status.history !== next) addPoints(await getJson('history', { from: next }));
}

function refresh() {
  services.refresh();
  explain.refresh();
}

/** Adds what `/history` says, in columns, to the points. */
function addPoints(columns) {
  if (columns.first !== next) points = [];
  ({ next } = columns);
  columns.health.forEach((health, i) => {
    const responses = {};
    for (const { rcode, counts } of columns.responses) responses[rcode] = counts[i];
    points.push({ health, responses, programming: durations(columns.programming, i), publication: durations(columns.publication, i) });
  });
  points = points.slice(-SHOWN_POINTS);
  charts.draw(points);
  showRates(points);
}

/** What is beyond the histogram has no number: 17 minutes and more. */
const BEYOND = 1048.576;

function durations({ counts, half, all }, i) {
  return { count: counts[i], half: half[i] ?? BEYOND, all: all[i] ?? BEYOND };
}

charts.draw(points);
poll();
