// Four edges, and a name server that leads to one of them at a time or to all: what `tentpole load --resolvers` sees of
// both. Everything is on this machine and ends with the script; knows no browser.
'use strict';

const { spawn } = require('node:child_process');
const dgram = require('node:dgram');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');

const NAME = 'shop.test';
const EDGES = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'];
const TTL_S = 1;

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

/** One server on all addresses: an edge each. */
async function edges() {
  const server = http.createServer((_, response) => response.end('ok'));
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '0.0.0.0', resolve));
  return server;
}

/** The report's page of a load on a name whose server answers so. */
async function load(binary, folder, name, addresses, seconds) {
  const [names, server] = [await nameServer(addresses), await edges()];
  try {
    const out = path.join(folder, name);
    const typed = ['load', `http://${NAME}:${server.address().port}/`, '--rate', '400', '--time', `${seconds}s`, '--ramp', '0s', '--plain',
      '--resolvers', '30', '--resolver-policy', 'random', '--name-server', `127.0.0.1:${names.address().port}`, '--out', out];
    const child = spawn(binary, typed, { cwd: folder, env: { ...process.env, HOME: folder, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { said = (said + text).slice(-20_000); });
    const code = await new Promise((resolve, reject) => { child.on('error', reject).on('exit', resolve); });
    process.off('exit', kill);
    const page = path.join(out, 'report.html');
    if ((code !== 0 && code !== 99) || !fs.existsSync(page)) throw new Error(`tentpole load ended with ${code}:\n${said}`);
    return page;
  } finally {
    names.close();
    server.closeAllConnections();
    server.close();
  }
}

/** Both, one after the other, each handed to `shoot` as it is there. */
async function spread(binary, seconds, shoot) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tentpole-spread-'));
  try {
    let turn = 0;
    const one = () => { turn += 1; return [EDGES[turn % EDGES.length]]; };
    await shoot('one-address', await load(binary, folder, 'one', one, seconds));
    await shoot('all-addresses', await load(binary, folder, 'all', () => EDGES, seconds));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

module.exports = { spread };
