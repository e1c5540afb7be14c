// The demo as people start it: `tentpole up` in a folder of its own, on free ports, with loads on it. Ends what it has
// started when the script ends, and nothing else; knows no browser.
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');

const TREE = path.resolve(__dirname, '..');
const TARGET = process.env.CARGO_TARGET_DIR || path.join(TREE, 'target');
const START_MS = 60_000;
/** Market by market, the names by which browsers reach the shop: *.localhost is this machine (RFC 6761, 6.3). */
const HOSTS = { uk: 'shop.localhost', de: 'laden.localhost', ch: 'boutique.localhost' };

/** The tentpole to run: what was named, or else the newest that was built here. Throws an Error that says how to make one. */
function program(named) {
  const built = ['release', 'debug'].map((profile) => path.join(TARGET, profile, 'tentpole')).filter((file) => fs.existsSync(file));
  const newest = built.sort((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs)[0];
  const file = named ?? newest;
  if (!file || !fs.existsSync(file)) throw new Error(`there is no ${file ?? path.join(TARGET, 'release', 'tentpole')}; make it: cargo build --release`);
  return path.resolve(file);
}

/** Asks until it is so; throws what `says` says when it takes longer. */
async function until(ms, says, ready) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await ready();
    if (found) return found;
    if (Date.now() > end) throw new Error(says());
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

class Demo {
  /** `binary` is the program, `cores` where its servers may run (`0-2`); its folder goes away with this script. */
  constructor(binary, cores) {
    this.binary = binary;
    this.cores = cores;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tentpole-demo-'));
    // Its state must not meet that of a Tentpole which somebody uses here.
    this.env = { ...process.env, HOME: this.folder, TMPDIR: this.folder, XDG_STATE_HOME: path.join(this.folder, 'state'), NO_COLOR: '1' };
    delete this.env.XDG_RUNTIME_DIR;
    this.said = '';
    this.children = new Set();
    process.on('exit', () => {
      this.kill();
      fs.rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    });
  }

  spawn(typed, cores) {
    // taskset executes what it starts, so that the process id is the program's own.
    const [command, ...before] = cores ? ['taskset', '-c', cores, this.binary] : [this.binary];
    const child = spawn(command, [...before, ...typed], { cwd: this.folder, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.children.add(child);
    child.on('exit', () => this.children.delete(child));
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8');
    return child;
  }

  /** Waits for the lines that say where it listens, and then for the shop's first answer. */
  async start(typed = []) {
    const child = this.spawn(['up', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', ...typed], this.cores);
    this.up = child;
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => { this.said = (this.said + text).slice(-20_000); });
    child.on('error', (error) => { this.said += error.message; });
    const found = (pattern) => this.said.match(pattern)?.[1];
    await until(START_MS, () => `tentpole up did not say where it listens:\n${this.said}`, () => {
      if (child.exitCode !== null) throw new Error(`tentpole up ended with ${child.exitCode}:\n${this.said}`);
      this.port = found(/listening on http:\/\/\S+?:(\d+)/);
      this.admin = found(/admin on (http:\/\/[\d.:[\]]+)/);
      return this.port && this.admin;
    });
    this.shop = this.address('uk');
    const serves = async () => (await this.get('uk', '/').catch(() => ({ status: 0 }))).status === 200;
    await until(START_MS, () => `the shop does not answer at ${this.shop}:\n${this.said}`, serves);
  }

  /** The shop's address in a market, without a path. */
  address(market) {
    return `http://${HOSTS[market]}:${this.port}`;
  }

  /** One request as a script sends it, for browsers know that *.localhost is here and resolvers often do not. */
  get(market, asked, headers = {}) {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: this.port, path: asked, headers: { host: `${HOSTS[market]}:${this.port}`, ...headers }, timeout: 5_000 };
      const request = http.get(options, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text) => { body += text; }).on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
      });
      request.on('error', reject);
      request.on('timeout', () => request.destroy(new Error('no answer within 5 s')));
    });
  }

  /** A load in the background; resolves with its report's page when it has ended. */
  load(typed, name = 'report') {
    const report = path.join(this.folder, name);
    const child = this.spawn(['load', `${this.shop}/`, '--journey', 'shop', '--plain', '--out', report, ...typed]);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => { said = (said + text).slice(-20_000); });
    const ended = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => {
        // 99: it broke, which is a result as good as another.
        const page = path.join(report, 'report.html');
        if ((code === 0 || code === 99) && fs.existsSync(page)) resolve(page);
        else reject(new Error(`tentpole load ended with ${code}:\n${said}`));
      });
    });
    ended.catch(() => {}); // Who waits for it hears of it all the same.
    return ended;
  }

  /** One page about several runs of load, each with its label; the first is what the others are compared with. */
  async report(runs, labels) {
    const page = path.join(this.folder, 'compared.html');
    const child = this.spawn(['report', ...runs, ...labels.flatMap((label) => ['--label', label]), '--out', page]);
    let said = '';
    child.stderr.on('data', (text) => { said = (said + text).slice(-20_000); });
    const code = await new Promise((resolve, reject) => { child.on('error', reject).on('exit', resolve); });
    if (code !== 0 || !fs.existsSync(page)) throw new Error(`tentpole report ended with ${code}:\n${said}`);
    return page;
  }

  /** The process id of a part of it: `edge` or `control`. */
  part(name) {
    const parts = fs.readFileSync(`/proc/${this.up.pid}/task/${this.up.pid}/children`, 'utf8').trim().split(' ').map(Number);
    const found = parts.find((pid) => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`\0part\0${name}\0`));
    if (!found) throw new Error(`tentpole up has no part ${name}`);
    return found;
  }

  /** As Ctrl-C does, and by force when that takes too long. */
  async stop() {
    for (const child of this.children) child.kill('SIGINT');
    await until(20_000, () => '', () => this.children.size === 0).catch(() => this.kill());
  }

  kill() {
    for (const child of this.children) child.kill('SIGKILL');
  }
}

module.exports = { Demo, HOSTS, program, until };
