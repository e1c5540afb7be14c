// What a person should know at the top of the console: how far an upgrade and rolling restarts are, and which certificates end soon.
// Draws what the admin API tells; console.js calls draw() with each new second.
const Notices = (tools) => {
  "use strict";
  const { $, make, say, known, count, span } = tools;
  const STEPS = {
    waiting: "waits for a reload to end", checking: "the new program is asked whether it can",
    opening: "its edge starts and takes the hottest objects",
  };
  const several = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
  const rows = new Map(); // what it is about → its row

  /** Each notice: what it is about (to know it again), its tone, its text, and how far it is, where that is known. */
  function noticesOf(live) {
    const ago = (unixMs) => span(Math.max(0, (live.now_unix_ms - unixMs) / 1000));
    const left = (unixMs) => span(Math.max(0, (unixMs - live.now_unix_ms) / 1000));
    const found = [], upgrade = live.upgrade;
    if (upgrade?.under_way) {
      const { step, program, since_unix_ms: since } = upgrade.under_way;
      found.push({ key: "upgrade", tone: "grows", name: "Upgrade", text: `to ${program}, for ${ago(since)}: ${STEPS[step] ?? "it takes over"}` });
    }
    for (const edge of upgrade?.leaving ?? []) {
      const open = known(edge.connections) ? `${several(edge.connections, "connection")} open` : "its connections are not yet told";
      found.push({ key: `leaving ${edge.pid}`, tone: "leaves", name: "Upgrade", text: `the edge before leaves for ${ago(edge.since_unix_ms)}: ${open}, ${left(edge.until_unix_ms)} left at most` });
    }
    for (const { pool, new: fresh, of, since_unix_ms: since, stopped } of live.restarts ?? []) {
      const text = `${count(fresh)} of ${several(of, "instance")} are new${stopped ? `; stopped: ${stopped}` : `, for ${ago(since)}`}`;
      found.push({ key: `restart ${pool}`, tone: stopped ? "bad" : "grows", name: `Restart of ${pool}`, text, done: fresh, of });
    }
    for (const { host, file, ends_unix_s: ends } of live.certificates ?? []) {
      const over = ends * 1000 <= live.now_unix_ms, day = new Date(ends * 1000).toISOString().slice(0, 10);
      const text = over ? `ended on ${day}, and browsers refuse it: renew ${file}` : `ends on ${day}, in ${left(ends * 1000)}: renew ${file}`;
      found.push({ key: `certificate ${file}`, tone: over ? "bad" : "grows", name: `Certificate of ${host || file}`, text });
    }
    return found;
  }

  function makeRow(key) {
    const row = { root: make("li", "notice"), name: make("b"), text: make("span"), bar: make("progress") };
    row.root.append(make("i", "dot"), row.name, row.text, row.bar);
    rows.set(key, row);
    return row;
  }

  function draw(live) {
    const found = noticesOf(live);
    for (const { key, tone, name, text, done, of } of found) {
      const row = rows.get(key) ?? makeRow(key);
      row.root.dataset.tone = tone;
      say(row.name, name);
      say(row.text, text);
      row.bar.hidden = !of;
      row.bar.max = of || 1;
      row.bar.value = done ?? 0;
      row.bar.setAttribute("aria-label", `${name}: new instances`);
    }
    for (const [key, row] of rows) if (!found.some((one) => one.key === key)) { row.root.remove(); rows.delete(key); }
    const order = found.map(({ key }) => rows.get(key).root);
    // Moved only when the order is another one: what somebody reads stays where it is.
    if (order.some((node, at) => $("notices").children[at] !== node)) $("notices").append(...order);
    $("notices").hidden = !found.length;
  }

  return { draw };
};
