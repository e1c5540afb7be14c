// S1.2 and S1.3: a slow shop behind HAProxy, which cuts off what takes too long and takes its only server out; and the same
// visitors straight at the shop. All times are the story's divided by four. Everything is on this machine, on free ports, and
// ends with the script; knows no browser.
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

const { folder, hold, late, load, read } = require('./run.js');

/** The application server: so many workers, and so long for a page. Together 50 pages a second, whoever asks. */
const WORKERS = 5;
const PAGE_MS = 100;
/** How long the balancer waits for an answer: the story's 10 s. */
const PATIENCE_MS = 2_500;
const THINK_MS = 250;
const START_MS = 20_000;
const PORTS_MAX = 5;
const PROGRAMS = ['/usr/sbin/haproxy', '/usr/bin/haproxy'];

/** A shop whose pages, the one for the balancer's checks among them, wait for a worker in the order in which they were asked for. */
async function shop() {
  const waiting = [];
  let free = WORKERS;
  const next = () => {
    if (!free || !waiting.length) return;
    free -= 1;
    const response = waiting.shift();
    setTimeout(() => {
      free += 1;
      response.end('<!doctype html><title>Sale</title><h1>Sale</h1>');
      next();
    }, PAGE_MS);
  };
  // A worker does not notice that nobody waits for its page any more, as with most application servers.
  const server = http.createServer((_, response) => { waiting.push(response.on('error', () => {})); next(); });
  server.keepAliveTimeout = 60_000;
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return server;
}

const configuration = (port, to) => `global
  maxconn 2000
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server ${PATIENCE_MS}ms
  timeout check ${PATIENCE_MS}ms
frontend all
  bind 127.0.0.1:${port}
  default_backend app
backend app
  option httpchk GET /health
  server only 127.0.0.1:${to} check inter 500ms fall 2 rise 3
`;

/** Debian's HAProxy before this port, as soon as it takes connections: its port, and how to end it. */
async function haproxy(folder, to) {
  const program = PROGRAMS.find((place) => fs.existsSync(place));
  if (!program) throw new Error('there is no HAProxy; as root: apt-get install --no-install-recommends haproxy');
  let said = '';
  // Between finding a free port and its use somebody else may take it.
  for (let nth = 0; nth < PORTS_MAX; nth += 1) {
    const port = await freePort();
    const file = path.join(folder, 'haproxy.cfg');
    fs.writeFileSync(file, configuration(port, to));
    const child = spawn(program, ['-db', '-f', file], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    child.on('error', (error) => { said += error.message; });
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { said = (said + text).slice(-20_000); });
    const ended = new Promise((resolve) => { child.on('close', resolve); });
    const end = async () => { child.kill('SIGTERM'); await ended; process.off('exit', kill); };
    const by = Date.now() + START_MS;
    while (child.exitCode === null && Date.now() < by) {
      if (await connects(port) && child.exitCode === null) return { port, end };
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await end();
  }
  throw new Error(`HAProxy does not start:\n${said}`);
}

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const connects = (port) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
  socket.on('error', () => resolve(false));
});

/** What S1.2 and S1.3 say, of this run; where the machine may be held up, nothing of where it breaks. Returns its figures, a line a step. */
function holds(folder, heldUp) {
  const [through, direct] = ['balancer.localhost', 'direct'].map((name) => read(path.join(folder, name)));
  hold('the balancer', [
    [`The figures are to be believed. ${late(through)}; ${late(direct)}`, heldUp || (through.trusted && direct.trusted)],
    ['Through the balancer it breaks.', heldUp || through.breaking_point !== null],
    ['Through the balancer most requests of some step fail.', through.steps.some(({ requests, failed }) => failed * 2 > requests)],
    ['Some are cut off, and some fail because no server is left.', [503, 504].every((status) => through.steps.some(({ statuses }) => statuses[status] > 0))],
    ['What failed is in no load time.', through.steps.every(({ requests, failed, response_time: times }) => (times?.count ?? 0) === requests - failed)],
    ['Straight at the application nobody fails.', direct.steps.every(({ failed }) => failed === 0)],
    ['Straight at the application visitors wait longer than the balancer would.', direct.steps.at(-1).response_time.p50 > PATIENCE_MS],
  ]);
  return [['through the balancer', through], ['direct', direct]].flatMap(([name, run]) => run.steps.map((step) => {
    const { p50, p99 } = step.response_time ?? {};
    const times = step.response_time ? `median ${Math.round(p50)} ms, p99 ${Math.round(p99)} ms` : 'no load time';
    return `${name}, ${step.load} visitors: ${times}, ${step.failed} of ${step.requests} failed ${JSON.stringify(step.statuses)}`;
  }));
}

/**
 * The run, handed to `shoot` as it is there, and its figures. `visitors` are the steps, `step` is the time of each, `cores` where
 * only the generator may run; `heldUp` says that the machine may have something else to do.
 */
async function balancer(binary, { visitors, step, cores, heldUp }, shoot) {
  const place = folder('balancer');
  let [application, proxy] = [];
  try {
    application = await shop();
    proxy = await haproxy(place, application.address().port);
    const stages = visitors.map((many) => `{ visitors = ${many}, time = "${step}", ramp = "2s" }`);
    fs.writeFileSync(path.join(place, 'rising.toml'), `stages = [\n  ${stages.join(',\n  ')},\n]\n`);
    const out = await load(binary, place, 'report', [
      `http://balancer.localhost:${proxy.port}/`, '--compare', `direct=http://127.0.0.1:${application.address().port}`,
      '--profile', 'rising.toml', '--think', `${THINK_MS}ms`, '--p50', 'off', '--p99', 'off',
    ], { cores, page: 'compared.html' });
    const figures = holds(out, heldUp);
    await shoot('rehearsal-balancer', path.join(out, 'compared.html'));
    return figures;
  } finally {
    await proxy?.end();
    application?.closeAllConnections();
    application?.close();
  }
}

module.exports = { balancer };
