// Looks at the page for people in a headless Chromium. Run by tests/peers/page.rs:
//
//   node page.mjs CHECK ADMIN-ADDRESS API-ADDRESS FOLDER-OF-NODE-MODULES [FOLDER-FOR-PICTURES]
//
// The page is reached through a relay, as `kubectl port-forward` is one, and below a path, as behind a proxy. Whatever a check is
// about, it fails if the browser has anything to complain of: an error in the console, an exception, a request that failed, or
// one that leads anywhere else.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [check, admin, api, modules, pictures] = process.argv.slice(2);
const require = createRequire(join(modules, 'here.js'));
const puppeteer = require('puppeteer-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const CHROMIUM = process.env.PATH.split(':').map((folder) => join(folder, 'chromium')).find((path) => existsSync(path));
/** What the browser says of a name that is none, which the page shows. */
const REFUSED = /status of 400/;
const BELOW = '/some/path/';
const PATIENCE_MS = 30_000;
/** What a change may take to be shown, most times of several: other things run on the machine too. */
const PROMPT_MS = 1000;
const TRIES = 3;
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 400, height: 800 };

/** Passes requests below a path on to the server. `change` may replace what is in a JSON page. */
class Relay {
  constructor() {
    this.change = null;
    this.methods = new Set();
    this.server = http.createServer((request, response) => this.pass(request, response));
  }

  listen(port = 0) {
    return new Promise((resolve) => this.server.listen(port, '127.0.0.1', () => resolve((this.port = this.server.address().port))));
  }

  pass(request, response) {
    this.methods.add(request.method);
    if (!request.url.startsWith(BELOW)) {
      response.writeHead(404).end(`not below ${BELOW}`);
      return;
    }
    const [host, port] = admin.split(':');
    const options = { host, port, method: request.method, path: request.url.slice(BELOW.length - 1), headers: request.headers };
    const passed = http.request(options, (answer) => {
      const isJson = answer.headers['content-type'] === 'application/json';
      if (!this.change || !isJson) {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
        return;
      }
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => (text += part)).on('end', () => {
        response.writeHead(answer.statusCode, { 'content-type': 'application/json' }).end(JSON.stringify(this.change(JSON.parse(text), request.url)));
      });
    });
    passed.on('error', () => response.destroy());
    passed.end();
  }

  /** As a port-forward that ends. */
  close() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

/** A browser with the page in it. */
class Visit {
  static async start({ viewport = WIDE, colours = 'light', hash = '' } = {}) {
    const visit = new Visit();
    visit.relay = new Relay();
    await visit.relay.listen();
    visit.home = mkdtempSync(join(tmpdir(), 'page-'));
    visit.browser = await puppeteer.launch({
      executablePath: CHROMIUM,
      userDataDir: visit.home,
      args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--lang=en-GB'],
    });
    visit.complaints = [];
    visit.page = await visit.browser.newPage();
    await visit.page.setViewport(viewport);
    await visit.look(colours);
    visit.page.setDefaultTimeout(PATIENCE_MS);
    visit.listen();
    await visit.page.goto(`http://127.0.0.1:${visit.relay.port}${BELOW}${hash}`);
    await visit.until('what is known', () => document.querySelector('#verdict').textContent === 'Healthy' && document.querySelectorAll('#services .open-service').length > 0);
    return visit;
  }

  listen() {
    const origin = `http://127.0.0.1:${this.relay.port}${BELOW}`;
    this.page.on('console', (message) => ['error', 'warning', 'warn'].includes(message.type()) && !REFUSED.test(message.text()) && this.complaints.push(`console: ${message.text()}`));
    this.page.on('pageerror', (error) => this.complaints.push(`exception: ${error.message}`));
    this.page.on('requestfailed', (request) => this.complaints.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
    this.page.on('request', (request) => !/^data:/.test(request.url()) && !request.url().startsWith(origin) && this.complaints.push(`elsewhere: ${request.url()}`));
    this.page.on('response', (response) => response.status() >= 400 && !/explain/.test(response.url()) && this.complaints.push(`${response.status()}: ${response.url()}`));
  }

  look(colours) {
    return this.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: colours }, { name: 'prefers-reduced-motion', value: 'reduce' }]);
  }

  /** Waits until a condition holds in the page. */
  async until(what, condition, ...values) {
    try {
      await this.page.waitForFunction(condition, { polling: 20 }, ...values);
    } catch (error) {
      throw new Error(`no ${what}: ${error.message}\n${await this.text('main')}`);
    }
  }

  text(selector) {
    return this.page.$eval(selector, (node) => node.innerText);
  }

  /** Replaces the text of an input. */
  async type(selector, text) {
    await this.page.focus(selector);
    await this.page.$eval(selector, (input) => input.select());
    await this.page.keyboard.type(text);
  }

  /** Opens a Service, and waits for its endpoints. */
  async open(key) {
    await this.page.evaluate((key) => [...document.querySelectorAll('.open-service')].find((button) => button.textContent === key).click(), key);
    await this.until(`endpoints of ${key}`, (key) => document.querySelectorAll(`tr[data-key="endpoints of ${key}"] tbody tr`).length > 0, key);
  }

  /** The row of the Pod with this name, as its cells are read. */
  endpoint(name) {
    return this.page.evaluate(endpointText, name);
  }

  async explain(name) {
    await this.type('#explain-name', name);
    await this.page.keyboard.press('Enter');
    await this.until(`explanation of ${name}`, (name) => document.querySelector('#explanation').dataset.explains === name, name);
    return this.text('#explanation');
  }

  /** Looks for what keeps people out. */
  async examine(what) {
    // The policy of the page keeps scripts out that are written into it, but not those of a debugger.
    await this.page.evaluate(AXE);
    const { violations, incomplete } = await this.page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
    const told = (results) => results.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`);
    assert.deepEqual(told(violations), [], what);
    if (incomplete.length) console.log(`for a person to judge, ${what}: ${incomplete.map(({ id, nodes }) => `${id} (${nodes.length})`).join(', ')}`);
    const wide = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} pixels too wide: ${what}`);
  }

  async picture(name) {
    if (pictures) await this.page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  }

  async end() {
    await this.browser.close();
    this.relay.close();
    rmSync(this.home, { recursive: true, force: true });
    assert.deepEqual(this.complaints, [], 'the browser has nothing to complain of');
    assert.deepEqual([...this.relay.methods], ['GET'], 'the page changes nothing');
  }
}

/** In the page. */
function endpointText(name) {
  const row = [...document.querySelectorAll('.endpoints tbody tr')].find((row) => row.cells[0].textContent === name);
  return row ? [...row.cells].map((cell) => cell.textContent) : null;
}

const deletePod = async (name) => {
  const answer = await fetch(`${api}/api/v1/namespaces/default/pods/${name}`, { method: 'DELETE' });
  assert.equal(answer.status, 200, await answer.text());
};

const checks = {
  async deleted_pod() {
    const visit = await Visit.start();
    await visit.open('default/redis');
    const times = [];
    while (times.length < TRIES) {
      await visit.until('a ready redis-1', (name) => [...document.querySelectorAll('.endpoints tbody tr')].some((row) => row.cells[0].textContent === name && row.cells[2].textContent.startsWith('ready')), 'redis-1');
      // What the page asks for once more after a change is over by then.
      for (let polls = 0; polls < 3; polls += 1) await visit.page.waitForResponse((response) => response.url().endsWith('/status'));
      await visit.page.waitForNetworkIdle({ idleTime: 100 });
      const before = await visit.endpoint('redis-1');
      // What changes is noted in the page itself, when it does.
      await visit.page.evaluate((name, source, before) => {
        const read = new Function(`return ${source}`)();
        window.changedAt = null;
        const observer = new MutationObserver(() => {
          if (JSON.stringify(read(name)) === before || window.changedAt) return;
          window.changedAt = Date.now();
          observer.disconnect();
        });
        observer.observe(document.querySelector('#services'), { subtree: true, childList: true, characterData: true, attributes: true });
      }, 'redis-1', endpointText.toString(), JSON.stringify(before));
      const began = Date.now();
      await deletePod('redis-1');
      await visit.until('another state of redis-1', () => window.changedAt);
      times.push((await visit.page.evaluate(() => window.changedAt)) - began);
    }
    console.log(`shown after ${times.join(', ')} ms`);
    assert.ok(times.filter((time) => time < PROMPT_MS).length > TRIES / 2, `${times}`);
    await visit.end();
  },

  async explained() {
    const visit = await Visit.start();
    const present = await visit.explain('redis-0.redis');
    assert.match(present, /^redis-0\.redis\.default\.svc\.cluster\.local\. resolves\s+A 10\.128\.0\.\d+/);
    assert.match(present, /Service default\/redis is headless, selects Pods with app=redis/);
    const absent = await visit.explain('zk-lost-0.zk-headless.default');
    assert.match(absent, /does not resolve: NXDOMAIN/);
    assert.match(absent, /Service default\/zk-headless does not exist, but Pod zk-lost-0 of StatefulSet zk-lost has it as its subdomain/);
    assert.match(absent, /Fix: create that Service: headless/);
    assert.match(await visit.explain('no..name'), /a label of the name is empty/);
    assert.match(await visit.explain('www.example.org'), /REFUSED[\s\S]*Zones of this server\s+cluster\.local\./i);
    // The address of the page has the name, so that it can be sent to somebody, and an endpoint leads there.
    await visit.open('default/redis');
    await visit.page.evaluate(() => [...document.querySelectorAll('.endpoints a')].find((link) => link.textContent === 'redis-2').click());
    await visit.until('redis-2 explained', () => document.querySelector('#explanation').innerText.startsWith('redis-2.redis.default'));
    assert.ok(visit.page.url().endsWith('#explain=redis-2.redis.default'), visit.page.url());
    await visit.end();
    const again = await Visit.start({ hash: '#explain=redis-0.redis' });
    await again.until('the name of the address', () => document.querySelector('#explanation').innerText.startsWith('redis-0.redis.default'));
    await again.end();
  },

  async searched() {
    const visit = await Visit.start();
    const found = async (text, expected) => {
      await visit.type('#services-search', text);
      await visit.until(`${expected} for ${text}`, (expected) => [...document.querySelectorAll('.open-service')].map((button) => button.textContent).join(' ') === expected, expected);
    };
    await found('redis', 'default/redis');
    const address = (await visit.explain('redis-1.redis')).match(/A (10\.[\d.]+)/)[1];
    for (const text of ['redis-2', address, 'redis.default', 'DEFAULT/REDIS', 'redis-0.redis.default.svc.cluster.local', 'def redis']) await found(text, 'default/redis');
    await found('zk-lost-0', 'default/zk-headless');
    await found('nothing-of-this', '');
    // A part of it is searched for as well, if it is typed slowly.
    await visit.until('a word that there is none', () => document.querySelector('#services-empty').innerText.includes('No Service fits “nothing-of-this”'));
    await visit.page.$eval('#services-search', (input) => { input.value = ''; input.dispatchEvent(new Event('input')); });
    await visit.page.click('#services-absent');
    await visit.until('those with absent names alone', () => {
      const names = [...document.querySelectorAll('.open-service')].map((button) => button.textContent);
      return names.includes('default/zk-headless') && !names.includes('default/redis');
    });
    await visit.end();
  },

  async keyboard() {
    const visit = await Visit.start();
    await visit.open('default/redis');
    await visit.explain('zk-lost-0.zk-headless.default');
    // The walk begins in front of everything.
    await visit.page.evaluate(() => {
      const start = document.createElement('span');
      start.tabIndex = -1;
      document.body.prepend(start);
      start.focus();
      start.remove();
      window.scrollTo(0, 0);
    });
    const describe = () => {
      const node = document.activeElement;
      return node === document.body ? null : `${node.tagName} ${node.id || node.getAttribute('href') || node.textContent || node.getAttribute('aria-label')}`;
    };
    const wanted = await visit.page.evaluate(() => {
      const all = [...document.querySelectorAll('a[href], button:not(:disabled), input, [tabindex="0"]')].filter((node) => node.checkVisibility());
      return all.map((node) => `${node.tagName} ${node.id || node.getAttribute('href') || node.textContent || node.getAttribute('aria-label')}`);
    });
    const walked = [];
    for (let step = 0; step < wanted.length + 10; step += 1) {
      await visit.page.keyboard.press('Tab');
      const at = await visit.page.evaluate(describe);
      if (at === null) break;
      walked.push(at);
      const ring = await visit.page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      assert.notEqual(ring, 'none', `${at} shows that it has the focus`);
    }
    const steady = (names) => names.map((name) => name.replace(/^svg .*/, 'svg'));
    assert.deepEqual(steady(walked), steady(wanted), 'every control is reached, in the order of the page');
    // A Service opens and closes, and keeps the focus while the list changes around it.
    await visit.page.evaluate(() => [...document.querySelectorAll('.open-service')].find((button) => button.textContent === 'default/redis').focus());
    await visit.page.keyboard.press('Enter');
    await visit.until('a closed Service', () => document.activeElement.getAttribute('aria-expanded') === 'false');
    await visit.page.keyboard.press('Space');
    await visit.until('an open Service', () => document.activeElement.getAttribute('aria-expanded') === 'true');
    const addressOf = (name) => [...document.querySelectorAll('.endpoints tbody tr')].find((row) => row.cells[0].textContent === name)?.cells[1].textContent;
    const before = await visit.page.evaluate(addressOf, 'redis-2');
    await deletePod('redis-2');
    // Its successor may be there before the page asks again.
    await visit.until('a change', (before) => ![...document.querySelectorAll('.endpoints tbody tr')].some((row) => row.cells[1].textContent === before), before);
    assert.equal(await visit.page.evaluate(() => document.activeElement.textContent), 'default/redis');
    // A chart is read second by second.
    await visit.page.evaluate(() => document.querySelector('#queries svg').focus());
    await visit.page.keyboard.press('ArrowLeft');
    assert.match(await visit.text('#queries .readout'), /^(now|\d.* ago): /);
    await visit.page.keyboard.press('Escape');
    await visit.end();
  },

  async accessible() {
    for (const viewport of [WIDE, NARROW]) {
      for (const colours of ['light', 'dark']) {
        const visit = await Visit.start({ viewport, colours });
        await visit.open('default/redis');
        await visit.explain('zk-lost-0.zk-headless.default');
        await visit.examine(`${colours}, ${viewport.width} wide`);
        await visit.end();
      }
    }
  },

  async many() {
    const visit = await Visit.start();
    const known = Number((await visit.text('#found')).match(/^([\d,]+) known$/)[1].replace(',', ''));
    assert.ok(known > 1200, `${known} Services`);
    const keys = () => visit.page.$$eval('.open-service', (buttons) => buttons.map((button) => button.textContent));
    const pages = [await keys()];
    const turned = async (button) => {
      const [first] = await keys();
      await visit.page.click(button);
      await visit.until('another page', (first) => document.querySelector('.open-service').textContent !== first, first);
      return keys();
    };
    while (await visit.page.$eval('#next', (button) => !button.disabled)) pages.push(await turned('#next'));
    const all = pages.flat();
    assert.deepEqual([all.length, new Set(all).size, all.at(-1)], [known, known, 'many/s1199'], 'each Service is on one page');
    assert.deepEqual(await turned('#previous'), pages.at(-2), 'and the page before is the one that was');
    const began = Date.now();
    await visit.type('#services-search', 's1199');
    await visit.until('the one that fits', () => document.querySelectorAll('.open-service').length === 1 && document.querySelector('#pager').hidden);
    console.log(`${known} Services on ${pages.length} pages; one was found in ${Date.now() - began} ms, with its typing`);
    await visit.open('many/s1199');
    assert.equal((await visit.endpoint('b'))[2].replace(/since.*/, ''), 'ready');
    await visit.end();
  },

  async others() {
    const visit = await Visit.start({ viewport: NARROW });
    const rows = (part) => visit.page.$$eval(`#${part} tbody tr`, (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
    await visit.until('two upstreams', () => document.querySelectorAll('#upstreams tbody tr').length === 2);
    const states = (await rows('upstreams')).map(([, state, responses, failures]) => [state, responses !== '0', failures !== '0']);
    assert.deepEqual(states, [['answers', true, false], ['fails', false, true]]);
    assert.match(await visit.text('#upstreams'), /Cache: \d+ answer/);
    const follows = (before) => {
      const row = [...document.querySelectorAll('#transfers tbody tr')].find((row) => row.cells[1].textContent === 'cluster.local.');
      return row?.cells[2].textContent === 'up to date' && !row.cells[3].textContent.startsWith(before);
    };
    await visit.until('a secondary that is up to date', follows, 'nothing');
    const secondary = (await rows('transfers')).find(([, zone]) => zone === 'cluster.local.');
    assert.match(secondary[0], /^127\.0\.0\.1/);
    await deletePod('redis-1');
    await visit.until('a later version', follows, secondary[3].split(',')[0]);
    assert.match(await visit.text('#transfers'), /Version \d+, differences to \d+ older versions?/);
    assert.match(await visit.text('#transfers'), /Notified/i);
    await visit.examine('upstreams and secondaries');
    await visit.end();
  },

  async hostile() {
    const visit = await Visit.start();
    const HOSTILE = '"><img src=x onerror="window.hacked = true"><script>window.hacked = true</script>';
    // Whatever is text in a page of the server comes with markup behind it.
    const spoil = (value, name = '') => {
      if (typeof value === 'string') return ['health', 'since', 'started', 'now', 'state', 'at', 'continue'].includes(name) || name === 'rcode' ? value : value + HOSTILE;
      if (Array.isArray(value)) return value.map((item) => spoil(item, name === 'health' ? name : ''));
      return value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([name, item]) => [name, spoil(item, name)])) : value;
    };
    visit.relay.change = spoil;
    await visit.until('a hostile list', () => [...document.querySelectorAll('.open-service')].every((button) => button.textContent.includes('<img')));
    // By their true names they can be opened.
    visit.relay.change = (page, url) => {
      const { services } = page;
      const spoilt = spoil(page);
      if (url.includes('/services')) spoilt.services.forEach((row, i) => Object.assign(row, { namespace: services[i].namespace, service: services[i].service }));
      return spoilt;
    };
    await visit.until('true names', () => [...document.querySelectorAll('.open-service')].some((button) => button.textContent === 'default/redis'));
    await visit.page.evaluate(() => [...document.querySelectorAll('.open-service')].find((button) => button.textContent === 'default/redis').click());
    await visit.until('a hostile endpoint', () => document.querySelector('.endpoints tbody')?.textContent.includes('<script>'));
    await visit.type('#explain-name', `${HOSTILE}`);
    await visit.page.keyboard.press('Enter');
    await visit.until('an answer', () => document.querySelector('#explanation .answer'));
    await visit.type('#explain-name', 'zk-lost-0.zk-headless.default');
    await visit.page.keyboard.press('Enter');
    await visit.until('a hostile explanation', () => document.querySelector('#explanation .fix')?.textContent.includes('<img'));
    await visit.type('#services-search', HOSTILE);
    const added = await visit.page.evaluate(() => ({ hacked: window.hacked ?? false, markup: document.querySelectorAll('main img, main script').length }));
    assert.deepEqual(added, { hacked: false, markup: 0 });
    const policy = await visit.page.evaluate(async () => (await fetch('', { headers: { accept: 'text/html' } })).headers.get('content-security-policy'));
    assert.match(policy, /default-src 'none'; script-src 'self'/);
    assert.doesNotMatch(policy, /unsafe/);
    await visit.end();
  },

  async lost() {
    const visit = await Visit.start();
    const { port } = visit.relay;
    visit.relay.close();
    await visit.until('word of the loss', () => document.querySelector('#verdict').textContent === 'No answer from the server');
    const complaints = visit.complaints.splice(0);
    assert.ok(complaints.every((text) => /ERR_CONNECTION|failed/i.test(text)), complaints.join('\n'));
    visit.relay = Object.assign(new Relay(), { methods: visit.relay.methods });
    await visit.relay.listen(port);
    await visit.until('word of its return', () => document.querySelector('#verdict').textContent === 'Healthy');
    visit.complaints.length = 0;
    await visit.end();
  },

  async pictures() {
    for (const [name, viewport, colours] of [['light', WIDE, 'light'], ['dark', WIDE, 'dark'], ['narrow', NARROW, 'light'], ['narrow-dark', NARROW, 'dark']]) {
      const visit = await Visit.start({ viewport, colours });
      await visit.picture(`${name}-first`);
      const key = await visit.page.$eval('.open-service', (button) => button.textContent);
      const keys = await visit.page.$$eval('.open-service', (buttons) => buttons.map((button) => button.textContent));
      await visit.open(keys.includes('default/redis') ? 'default/redis' : key);
      if (keys.includes('default/redis')) await visit.explain('zk-lost-0.zk-headless.default');
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await visit.picture(name);
      await visit.end();
    }
  },
};

assert.ok(check in checks, `one of ${Object.keys(checks)}`);
await checks[check]();
console.log(`${check} passed`);
