// S5.4: four edges, each of which carries half as much again as its part, and a name server that leads to one of them at a time
// or to all: what `tentpole load --resolvers` sees of both. Everything is on this machine and ends with the script; knows no
// browser.
'use strict';

const dgram = require('node:dgram');
const http = require('node:http');
const path = require('node:path');

const { folder, hold, late, load, read } = require('./run.js');

const NAME = 'shop.test';
const EDGES = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'];
const TTL_S = 1;
/** Visitors a second, and what each edge carries: half as much again as its part of them. */
const RATE = 400;
const CARRIES = 150;
const WAIT_MS = 250;
/** In how many sessions a second says something about shares: as the report sees it. */
const SESSIONS_MIN = 20;

/** A name server (RFC 1035) for the one name; `addresses` says what the next question is answered with. */
async function nameServer(addresses) {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (question, from) => {
    let end = 12;
    while (question[end]) end += question[end] + 1;
    end += 5;
    const isA = question.readUInt16BE(end - 4) === 1;
    const records = (isA ? addresses() : []).map((address) => {
      const record = Buffer.alloc(16);
      record.writeUInt16BE(0xc00c, 0); // The name of the question.
      record.writeUInt16BE(1, 2);
      record.writeUInt16BE(1, 4);
      record.writeUInt32BE(TTL_S, 6);
      record.writeUInt16BE(4, 10);
      address.split('.').forEach((byte, at) => record.writeUInt8(Number(byte), 12 + at));
      return record;
    });
    const head = Buffer.from(question.subarray(0, end));
    head.writeUInt16BE(0x8180, 2);
    [1, records.length, 0, 0].forEach((count, at) => head.writeUInt16BE(count, 4 + 2 * at));
    socket.send(Buffer.concat([head, ...records]), from.port, from.address);
  });
  await new Promise((resolve, reject) => socket.once('error', reject).bind(0, '127.0.0.1', resolve));
  return socket;
}

/**
 * One server on all addresses: an edge each, which answers so many requests a second, keeps others waiting for a moment, and
 * refuses what it would not reach within it.
 */
async function edges() {
  const busyUntil = new Map();
  const server = http.createServer((request, response) => {
    const [edge, now] = [request.socket.localAddress, performance.now()];
    const turn = Math.max(now, busyUntil.get(edge) ?? 0);
    if (turn - now > WAIT_MS) {
      response.writeHead(503).end();
      return;
    }
    busyUntil.set(edge, turn + 1_000 / CARRIES);
    setTimeout(() => response.end('ok'), turn - now);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '0.0.0.0', resolve));
  return server;
}

/** The report of a load on a name whose server answers so. */
async function rehearse(binary, place, name, addresses, { seconds, cores }) {
  const [names, server] = [await nameServer(addresses), await edges()];
  try {
    return await load(binary, place, name, [
      `http://${NAME}:${server.address().port}/`, '--rate', `${RATE}`, '--time', `${seconds}s`, '--ramp', '0s',
      '--resolvers', '30', '--resolver-policy', 'random', '--name-server', `127.0.0.1:${names.address().port}`,
    ], { cores });
  } finally {
    names.close();
    server.closeAllConnections();
    server.close();
  }
}

/** What each address had in the second in which one had most, and over the run. */
function shares(folder) {
  const run = read(folder);
  const { seconds, edges: all } = run.spread;
  const of = (counts) => { const sum = counts.reduce((a, b) => a + b, 0); return counts.map((count) => count / sum); };
  const judged = seconds.map(({ sessions }) => sessions).filter((sessions) => sessions.reduce((a, b) => a + b, 0) >= SESSIONS_MIN).map(of);
  const busiest = judged.map((second) => Math.max(...second));
  return {
    run,
    over: of(all.map(({ sessions }) => sessions)),
    mean: busiest.reduce((a, b) => a + b, 0) / busiest.length,
    most: Math.max(...busiest),
    failed: run.steps.reduce((sum, step) => sum + step.failed, 0),
    requests: run.steps.reduce((sum, step) => sum + step.requests, 0),
  };
}

/** What S5.4 says, of both; where the machine may be held up, nothing of what failed. Returns the figures, a line each. */
function holds(one, all, heldUp) {
  const even = 1 / EDGES.length;
  hold('names', [
    [`The figures are to be believed. ${late(one.run)}; ${late(all.run)}`, heldUp || (one.run.trusted && all.run.trusted)],
    ['One address at a time: the busiest one of a second has more than with all in one answer.', one.mean > all.mean],
    // A run of seconds, as where the machine may be held up, has not enough of them to say how much more.
    ['One address at a time: the busiest one has far more than its part in each second.', heldUp || one.mean > 1.4 * even],
    ['All in one answer: every one has about its part in each second.', heldUp || all.mean < 1.4 * even],
    ['One address at a time: the edge that is busy refuses visitors.', heldUp || one.failed > one.requests / 100],
    ['All in one answer: nobody is refused.', heldUp || all.failed === 0],
  ]);
  const percent = (share) => `${Math.round(share * 100)} %`;
  return [['one address at a time', one], ['all in one answer', all]].map(([name, seen]) =>
    `${name}: the busiest in a second ${percent(seen.mean)} on average, ${percent(seen.most)} at most; over the run ${seen.over.map(percent).join(', ')}; `
    + `${seen.failed} of ${seen.requests} failed`);
}

/**
 * Both, one after the other, each handed to `shoot`, and their figures. `seconds` is the time of each, `cores` where only the
 * generator may run; `heldUp` says that the machine may have something else to do.
 */
async function spread(binary, how, shoot) {
  const place = folder('spread');
  let turn = 0;
  const next = () => { turn += 1; return [EDGES[turn % EDGES.length]]; };
  const one = await rehearse(binary, place, 'one', next, how);
  const all = await rehearse(binary, place, 'all', () => EDGES, how);
  const figures = holds(shares(one), shares(all), how.heldUp);
  await shoot('one-address', path.join(one, 'report.html'));
  await shoot('all-addresses', path.join(all, 'report.html'));
  return figures;
}

module.exports = { spread };
