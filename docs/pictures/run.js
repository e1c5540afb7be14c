// One run of `tentpole load` as the pictures' scripts make it: in a folder of its own, its report read, ended with the script.
// Judges nothing, and knows no browser.
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** A folder for what a rehearsal leaves meanwhile; it goes away with this script, also when that is interrupted. */
function folder(name) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), `tentpole-${name}-`));
  process.once('exit', () => fs.rmSync(made, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  return made;
}

/** The data of a report. */
const read = (folder) => JSON.parse(fs.readFileSync(path.join(folder, 'report.json'), 'utf8'));

/**
 * Loads as typed, on these cores where some are named, and leaves the report in `folder/name`, which it returns. `page` is the
 * file that must be there then. Throws an Error with what was said when there is none. That the load broke is a result as good as another.
 */
async function load(binary, folder, name, typed, { cores, page = 'report.html' }) {
  const out = path.join(folder, name);
  // taskset executes what it starts, so that the process id is the program's own.
  const [command, ...before] = cores ? ['taskset', '-c', cores, binary] : [binary];
  const child = spawn(command, [...before, 'load', ...typed, '--plain', '--threads', '1', '--out', out], {
    cwd: folder,
    env: { ...process.env, HOME: folder, XDG_STATE_HOME: folder, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { said = (said + text).slice(-20_000); });
  const code = await new Promise((resolve, reject) => { child.on('error', reject).on('close', resolve); });
  process.off('exit', kill);
  if ((code !== 0 && code !== 99) || !fs.existsSync(path.join(out, page))) throw new Error(`tentpole load ended with ${code}:\n${said}`);
  return out;
}

/** Throws with all that does not hold: `claims` are pairs of a sentence and whether it is so. */
function hold(name, claims) {
  const wrong = claims.filter(([, holds]) => !holds).map(([claim]) => `  ${claim}`);
  if (wrong.length) throw new Error(`${name}: this did not come out:\n${wrong.join('\n')}`);
}

/** How late the generator itself was, of each step. */
const late = (run) => `Late by ${run.steps.map((step) => (step.lag_p99_us / 1_000).toFixed(1)).join(', ')} ms (p99; wanted under 1 ms)`;

module.exports = { folder, hold, late, load, read };
