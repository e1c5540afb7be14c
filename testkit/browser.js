// A real browser for scripts that look at pages: Chromium from the system, driven by playwright-core from npm, with
// axe-core for the eyes of those who read otherwise. Installs nothing into the tree, opens no page itself, and takes
// everything away when the script ends.
'use strict';

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const PLAYWRIGHT = 'playwright-core@1.65.1';
const AXE = 'axe-core@4.14.1';
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const RULES_MS = 60_000;

/** A folder with both packages, made once and gone with the process. Neither brings a browser. */
let packages = null;
function installed(name) {
  packages ??= install();
  return path.join(packages, 'node_modules', name);
}

function install() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tentpole-browser-'));
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  fs.writeFileSync(path.join(folder, 'package.json'), '{"private":true}');
  try {
    execFileSync('npm', ['install', '--silent', '--no-audit', '--no-fund', '--ignore-scripts', PLAYWRIGHT, AXE], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 120_000,
    });
  } catch (error) {
    throw new Error(`npm could not install ${PLAYWRIGHT} and ${AXE}: ${String(error.stderr || error.message).trim()}`);
  }
  return folder;
}

/** A browser with a fresh profile, which is removed when it closes. Throws an Error that says what is missing. */
async function launch() {
  return require(installed('playwright-core')).chromium.launch(options());
}

/** The same, of somebody who has forbidden all cookies. It has one context. */
async function launchWithoutCookies() {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'tentpole-profile-'));
  process.on('exit', () => fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  fs.mkdirSync(path.join(profile, 'Default'));
  const preferences = { profile: { default_content_setting_values: { cookies: 2 } } };
  fs.writeFileSync(path.join(profile, 'Default', 'Preferences'), JSON.stringify(preferences));
  return require(installed('playwright-core')).chromium.launchPersistentContext(profile, { ...options(), locale: 'en-GB' });
}

function options() {
  const executablePath = PLACES.find((place) => fs.existsSync(place));
  if (!executablePath) throw new Error('there is no Chromium; as root: apt-get install --no-install-recommends chromium');
  return { executablePath, headless: true, args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'] };
}

/** What axe-core finds serious or critical on the page as it stands (WCAG and its best practices), a line each. */
async function barriers(page) {
  // Through the debugger: the pages' own policy stays in force, and it lets no such script in.
  await page.evaluate(fs.readFileSync(path.join(installed('axe-core'), 'axe.min.js'), 'utf8'));
  const asked = page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ target }) => target.join(' ')).join(', ')}`);
  });
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`axe-core is not done within ${RULES_MS / 1000} s`)), RULES_MS); });
  return Promise.race([asked, late]).finally(() => clearTimeout(timer));
}

module.exports = { barriers, launch, launchWithoutCookies };
