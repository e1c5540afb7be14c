// A real browser for scripts that look at pages: Chromium from the system, driven by playwright-core from npm. Installs
// nothing into the tree, opens no page itself, and takes everything away when the script ends.
'use strict';

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const PLAYWRIGHT = 'playwright-core@1.65.1';
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** playwright-core, in a folder that goes away with the process. It brings no browser. */
function playwright() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tentpole-browser-'));
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  fs.writeFileSync(path.join(folder, 'package.json'), '{"private":true}');
  try {
    execFileSync('npm', ['install', '--silent', '--no-audit', '--no-fund', '--ignore-scripts', PLAYWRIGHT], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 120_000,
    });
  } catch (error) {
    throw new Error(`npm could not install ${PLAYWRIGHT}: ${String(error.stderr || error.message).trim()}`);
  }
  return require(path.join(folder, 'node_modules', 'playwright-core'));
}

/** A browser with a fresh profile, which is removed when it closes. Throws an Error that says what is missing. */
async function launch() {
  const executablePath = PLACES.find((place) => fs.existsSync(place));
  if (!executablePath) throw new Error('there is no Chromium; as root: apt-get install --no-install-recommends chromium');
  return playwright().chromium.launch({
    executablePath,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  });
}

module.exports = { launch };
