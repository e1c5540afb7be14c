// The console: asks the admin API each second and shows what it says. Text from outside only ever becomes text. Keeps
// no more than the range that is shown; a hidden tab asks nothing, and a gap is shown as a gap.
(() => {
  "use strict";
  const STEPS = { 300: 1, 900: 3, 3600: 12 }; // Range and the seconds of one point, so that there are 300.
  const POINTS = 300;
  const ANSWER_MAX = 4000; // ms until a question counts as not answered
  const AGAIN = 1000; // ms between questions while nobody answers

  const $ = (id) => document.getElementById(id);
  const { number, ms, percent, bytes } = Charts;

  // ---- words

  const known = (value) => typeof value === "number";
  const count = (value) => (known(value) ? number(Math.round(value)) : "–");
  const rate = (value) => (known(value) ? number(value < 10 ? Math.round(value * 10) / 10 : Math.round(value)) : "–");
  const share = (value) => (known(value) ? percent(value) : "–");
  const duration = (value) => (known(value) ? ms(value) : "–");
  const whole = (value) => (known(value) ? `${Math.round(value * 100)} %` : "–");
  const time = (unixMs) => new Date(unixMs).toLocaleTimeString("en-GB");
  const clock = (unixS) => time(unixS * 1000);
  const minute = (unixS) => clock(unixS).slice(0, 5);

  /** 45 s, 3 min, 2 h 5 min, 3 d 4 h */
  function span(seconds) {
    if (!known(seconds)) return "–";
    const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
    if (days) return `${days} d ${hours % 24} h`;
    if (hours) return `${hours} h ${minutes % 60} min`;
    return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
  }

  function make(name, className, text) {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // ---- what is known

  const points = new Map(); // end of the second (unix ms) → its figures
  let range = 300, paused = false, timer = 0, asked = 0, askingSince = 0, lastAnswer = 0, lastAt = 0, live = null, state = "waiting";

  const step = () => STEPS[range];

  /** The values of some columns over the range, oldest first; null where nothing is known. */
  function seriesOf(names) {
    const wide = step() * 1000, end = Math.floor(lastAt / wide) * wide;
    const x = [], found = Object.fromEntries(names.map((name) => [name, []]));
    for (let nth = POINTS - 1; nth >= 0; nth -= 1) {
      const at = end - nth * wide, point = points.get(at);
      x.push(at / 1000);
      for (const name of names) found[name].push(point?.[name] ?? null);
    }
    return { x, found };
  }

  function keep(at, point) {
    points.set(at, point);
    lastAt = Math.max(lastAt, at);
  }

  function forgetOld() {
    const oldest = lastAt - POINTS * step() * 1000;
    for (const at of points.keys()) if (at < oldest) points.delete(at);
  }

  // ---- asking

  async function get(path) {
    const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MAX) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  }

  async function fetchHistory(since) {
    const { at_unix_ms: times, columns } = await get(`/api/history?since=${since}&step=${step()}`);
    const names = Object.keys(columns);
    times.forEach((at, nth) => keep(at, Object.fromEntries(names.map((name) => [name, columns[name][nth]]))));
  }

  /** Brings the points up to the newest second: by itself when it follows the last one, else out of the history. */
  async function catchUp(sample) {
    if (!sample) return;
    const at = sample.at_unix_ms, wide = step() * 1000;
    if (at < lastAt - 5000) { points.clear(); lastAt = 0; } // The clock was set back.
    if (lastAt && at < lastAt + wide) return;
    if (wide === 1000 && at === lastAt + wide) keep(at, sample);
    else await fetchHistory(Math.max(lastAt, at - POINTS * wide));
    forgetOld();
  }

  async function ask(turn) {
    let again = AGAIN;
    try {
      const answer = await get("/api/live");
      if (turn !== asked) return; // Paused, or another range, meanwhile.
      await catchUp(answer.sample);
      if (turn !== asked) return;
      live = answer;
      lastAnswer = performance.now();
      draw();
      // Shortly after the next second has ended there.
      again = Math.max(300, 1120 - (answer.now_unix_ms % 1000));
    } catch {
      // Said by tell(); asked again below.
    }
    if (turn !== asked) return;
    tell();
    timer = setTimeout(() => ask(turn), again);
  }

  function start() {
    clearTimeout(timer);
    asked += 1;
    askingSince = performance.now();
    if (!paused && !document.hidden) ask(asked);
    tell();
  }

  // ---- the state of things, in the head

  const STATES = {
    waiting: () => "connecting",
    live: () => "live",
    paused: () => "paused",
    away: () => "live; the edge is away",
    silent: (seconds) => `no answer since ${span(seconds)}`,
  };
  const TROUBLE = {
    away: "The edge process ended and is being started again. Connections wait meanwhile. The figures are those of before.",
    silent: "Nobody answers here: the control process is stuck or has ended, or the way to it is cut. The figures are old. Visitors are served by the edge, which does not need control.",
  };
  const ALOUD = { live: "Live.", paused: "Paused.", away: "The edge is away.", silent: "No answer; trying again." };

  function tell() {
    const silentS = (performance.now() - Math.max(lastAnswer, askingSince)) / 1000;
    const before = state;
    if (paused) state = "paused";
    else if (silentS > 3 && !document.hidden) state = lastAnswer || silentS > 5 ? "silent" : "waiting";
    else if (lastAnswer) state = live.edges.every((edge) => edge.up) ? "live" : "away";
    $("state").dataset.state = state;
    say($("state-text"), STATES[state](silentS));
    $("trouble").hidden = !TROUBLE[state];
    say($("trouble"), TROUBLE[state] ?? "");
    document.body.classList.toggle("is-old", state === "silent" || state === "away");
    if (state !== before && ALOUD[state]) say($("said"), ALOUD[state]);
    const title = { live: live && `${rate(live.sample?.requests_per_s)}/s`, waiting: "" }[state] ?? STATES[state](silentS);
    document.title = title ? `${title} · Tentpole` : "Tentpole";
  }

  // ---- the figures on top

  const FIGURES = [
    { name: "Requests", unit: "/s", column: "requests_per_s", tone: "1", value: rate,
      more: (now) => `${rate(now.hits_per_s)} from the cache` },
    { name: "Latency, median", column: "p50_ms", tone: "4", value: duration,
      more: (now) => (known(now.p90_ms) ? `90 % within ${duration(now.p90_ms)}` : "no request") },
    { name: "Latency, 99 %", column: "p99_ms", tone: "4", value: duration, more: (now) => (known(now.p99_ms) ? "1 % took longer" : "no request") },
    { name: "Errors", unit: "/s", column: "errors_per_s", tone: "bad", value: rate,
      more: (now) => `${share(now.requests_per_s ? now.errors_per_s / now.requests_per_s : 0)} of requests`,
      mood: (now) => (now.errors_per_s > 0.005 * now.requests_per_s ? "bad" : "") },
    { name: "Cache hits", column: "hit_share", tone: "3", value: share, max: 1,
      more: (now) => `${bytes(now.bytes_out_per_s)}/s sent` },
    { name: "Open sessions", column: "connections_open", tone: "5", value: count,
      more: (now) => `${rate(now.accepted_per_s)} new/s` },
    { name: "Queue", column: "queued", tone: "2", value: count,
      more: (now) => `${rate(now.refused_per_s)} refused/s`,
      mood: (now) => (now.refused_per_s > 0 ? "bad" : now.queued > 0 ? "grows" : "") },
  ];

  function makeFigure(figure) {
    const root = make("article", "figure"), value = make("p", "value");
    figure.number = make("span", "", "–");
    figure.unitPlace = make("span", "unit");
    figure.below = make("p", "more", "\u00a0");
    figure.spark = make("div", "spark");
    value.append(figure.number, figure.unitPlace);
    root.append(make("h2", "", figure.name), value, figure.below, figure.spark);
    return root;
  }

  /** A line of errors that never happened is not drawn in the colour of errors. */
  const quietly = (tone, values) => (tone === "bad" && !values.some((one) => one > 0) ? "muted" : tone);

  function drawFigures(now, found) {
    for (const figure of FIGURES) {
      const [value, unit] = (now ? figure.value(now[figure.column]) : "–").split(/ (?=\D+$)/);
      say(figure.number, value);
      say(figure.unitPlace, value === "–" ? "" : unit ?? figure.unit ?? "");
      say(figure.below, now && known(now.requests_per_s) ? figure.more(now) : "\u00a0");
      figure.number.className = now ? figure.mood?.(now) ?? "" : "";
      const values = found[figure.column];
      Charts.spark(figure.spark, values, { tone: quietly(figure.tone, values), max: figure.max });
    }
  }

  // ---- the charts

  const CHARTS = [
    { name: "Requests per second", yFormat: number, yWhole: true, area: true,
      series: [["all", "requests_per_s", "1"], ["from the cache", "hits_per_s", "3"], ["errors", "errors_per_s", "bad"]] },
    { name: "Latency", yFormat: ms, yLog: true,
      series: [["median", "p50_ms", "1"], ["90 %", "p90_ms", "4"], ["99 %", "p99_ms", "2"]] },
    { name: "Open sessions", yFormat: number, yWhole: true, area: true, series: [["edge", "connections_open", "5"]] },
    { name: "Cache hits, share of requests", yFormat: percent, yMax: 1,
      series: [["all", "hit_share", "3"], ["from disk", "disk_share", "4"], ["stale", "stale_share", "2"], ["learned", "learned_share", "1"]] },
    { name: "Waiting and turned away", yFormat: number, yWhole: true,
      series: [["in the queue", "queued", "2"], ["refused/s", "refused_per_s", "bad"], ["retries/s", "retries_per_s", "4"]] },
    { name: "In flight at endpoints", yFormat: number, yWhole: true, area: true, series: [["in flight", "in_flight", "1"]] },
    { name: "Instances", fleet: true, yFormat: number, yWhole: true, marks: () => most(),
      series: [["all", "instances", "1"], ["serving", "instances_serving", "3"], ["wanted", "instances_wanted", "2", true]] },
    { name: "CPU", yFormat: whole, marks: () => targets(),
      series: [["fleet", "fleet_cpu_share", "1"], ["edge (of one CPU)", "edge_cpu_share", "4"]] },
  ];
  const COLUMNS = [...new Set([...FIGURES.map((figure) => figure.column), ...CHARTS.flatMap((chart) => chart.series.map((one) => one[1]))])];

  /** Curves that most sites do not have: left out while there is nothing of them. */
  const RARE = new Set(["disk_share", "stale_share", "learned_share"]);

  const targets = () => [...new Set(live.fleets.map((fleet) => fleet.cpu_target))].map((y) => ({ y, label: `target ${whole(y)}`, tone: "muted" }));

  /** How many instances there may be, if one number says it. */
  const most = () => (live.fleets.length === 1 ? [{ y: live.fleets[0].max, label: `at most ${count(live.fleets[0].max)}`, tone: "muted" }] : []);

  function makeChart(chart) {
    const root = make("article", "panel");
    chart.root = root;
    chart.place = make("div");
    root.append(make("h2", "", chart.name), chart.place);
    return root;
  }

  function drawCharts(x, found) {
    for (const chart of CHARTS) {
      chart.root.hidden = Boolean(chart.fleet) && !live.fleets.length;
      const series = chart.series
        .filter(([, column]) => !(column === "fleet_cpu_share" && !live.fleets.length))
        .filter(([, column]) => !RARE.has(column) || found[column].some((value) => value > 0))
        .map(([name, column, tone, dashed]) => ({ name, values: found[column], tone: quietly(tone, found[column]), dashed }));
      const options = {
        x, series, xTime: true, xFormat: clock, xTick: minute, yFormat: chart.yFormat, yWhole: chart.yWhole, yLog: chart.yLog, yMax: chart.yMax, area: chart.area,
        height: series.length > 1 ? 150 : 177, label: chart.name, noValue: "no value", marks: chart.marks?.() ?? [],
      };
      if (chart.drawn) chart.drawn.update(options);
      else chart.drawn = Charts.line(chart.place, options);
    }
  }

  // ---- names of endpoints: one line

  const lookedUp = (names) => {
    if (!names?.names) return "";
    const trouble = names.in_trouble.length ? `; last answers in use for ${names.in_trouble.join(", ")}` : "";
    return `; names: ${count(names.last_minute)} look-ups in the last minute${trouble}`;
  };

  // ---- pools and their endpoints

  const PHASES = {
    starting: ["starting", "grows"], warming_up: ["warming up", "grows"], serving: ["serving", "well"],
    draining: ["draining", "leaves"], stopping: ["stopping", "leaves"],
  };
  const REASONS = { probe: "health check", failures: "requests failed", errors: "errors", slow: "slow", no_address: "no address" };

  /** In a word, and what it means. */
  function stateOf(endpoint) {
    const settled = !endpoint.phase || endpoint.phase === "serving";
    if (endpoint.health === "down" && settled) return [`down: ${REASONS[endpoint.reason] ?? endpoint.reason}`, "bad"];
    if (endpoint.health === "last_one" && settled) return [`last one: ${REASONS[endpoint.reason] ?? endpoint.reason}`, "bad"];
    if (endpoint.phase) return PHASES[endpoint.phase] ?? [endpoint.phase, ""];
    return endpoint.weight === 0 ? ["drained", "leaves"] : ["up", "well"];
  }

  const pools = new Map();

  function makePool(name) {
    const pool = { root: make("article", "panel"), about: make("p"), list: make("ul", "rows"), rows: new Map(), zones: new Map() };
    const head = make("div", "head"), titles = make("li", "row titles");
    titles.append(make("span", "", "endpoint"), make("span", "share", "CPU"), make("span", "number", "in flight"), make("span", "number", "requests/s"));
    head.append(make("h2", "", name), pool.about);
    pool.list.append(titles);
    pool.root.append(head, pool.list);
    $("pools").append(pool.root);
    pools.set(name, pool);
    return pool;
  }

  function makeRow(pool, name) {
    const row = { root: make("li", "row"), phase: make("span", "phase"), word: make("b"), age: make("span"), share: make("div", "share"),
      gauge: make("div", "gauge"), fill: make("i"), mark: make("s"), cpu: make("span", "percent"), flight: make("span", "number"),
      rates: make("span", "number"), rate: make("span"), errors: make("span", "errors") };
    const who = make("div");
    row.phase.append(make("i", "dot"), row.word, row.age);
    row.gauge.append(row.fill, row.mark);
    row.gauge.setAttribute("aria-hidden", "true");
    row.share.append(row.gauge, row.cpu);
    row.rates.append(row.rate, row.errors);
    who.append(make("div", "name", name), row.phase);
    row.root.append(who, row.share, row.flight, row.rates);
    pool.list.append(row.root);
    pool.rows.set(name, row);
    return row;
  }

  /** Why it is not up: "out since 12:04:10: 5 requests failed in a row, back in 8 s". */
  function whyOut({ health, detail }) {
    if (!detail) return "";
    const left = Math.ceil(((detail.back_unix_ms ?? 0) - live.now_unix_ms) / 1000);
    return `${health === "last_one" ? "stays although out" : "out"} since ${time(detail.since_unix_ms)}: ${detail.because}${left > 0 ? `, back in ${span(left)} at the earliest` : ""}`;
  }

  /** How many it gets at once, where that follows what it carries, and where it began: "at most 79 at once, began with 64 as found 2 h ago". */
  function limitOf({ limit, limit_start: start }) {
    if (!known(limit)) return "";
    const ago = known(start?.found_unix_ms) ? ` ${span(Math.max(0, live.now_unix_ms - start.found_unix_ms) / 1000)} ago` : "";
    const from = { found: ` as found${ago}`, found_in_pool: ` as found in its pool${ago}`, configured: " as configured" }[start?.from] ?? "";
    return `at most ${count(limit)} at once${start ? `, began with ${count(start.limit)}${from}` : ""}`;
  }

  function drawRow(row, endpoint, target) {
    const [word, tone] = stateOf(endpoint), cpu = endpoint.cpu_share;
    // While it warms up: how much of its share it gets.
    const partly = endpoint.weight_share > 0 && endpoint.weight_share < 1 ? `, ${whole(endpoint.weight_share)}` : "";
    const kept = [known(endpoint.reused_share) ? `${whole(endpoint.reused_share)} reuse` : "", known(endpoint.idle_limit_ms) ? `closes idle ones after ${(endpoint.idle_limit_ms / 1000).toFixed(1)} s` : ""].filter(Boolean).join(", ");
    row.root.title = [endpoint.address ?? "", whyOut(endpoint), kept, limitOf(endpoint)].filter(Boolean).join("\n");
    row.phase.dataset.tone = tone;
    say(row.word, word + partly);
    const aside = [known(endpoint.uptime_s) ? span(endpoint.uptime_s) : "", kept, limitOf(endpoint)].filter(Boolean).join("; ");
    say(row.age, whyOut(endpoint) || aside);
    row.fill.style.width = `${Math.min(100, (cpu ?? 0) * 100)}%`;
    row.mark.style.left = `${(target ?? 0) * 100}%`;
    row.share.dataset.tone = !known(cpu) ? "" : cpu >= 0.95 ? "bad" : cpu > target * 1.15 ? "grows" : "well";
    say(row.cpu, whole(cpu));
    say(row.flight, count(endpoint.in_flight));
    say(row.rate, rate(endpoint.requests_per_s));
    say(row.errors, endpoint.errors_per_s > 0 ? `${rate(endpoint.errors_per_s)} errors/s` : "");
  }

  /** Endpoints by zone, each zone under a line of its own with its part of the requests. */
  function drawZones(pool, endpoints) {
    const zones = [...new Set(endpoints.map((endpoint) => endpoint.zone ?? ""))].sort();
    const grouped = zones.some((zone) => zone !== ""), sum = (of) => of.reduce((all, one) => all + (one.requests_per_s ?? 0), 0);
    const order = [pool.list.firstElementChild];
    for (const zone of zones) {
      const inside = endpoints.filter((endpoint) => (endpoint.zone ?? "") === zone), all = sum(endpoints);
      if (grouped) {
        if (!pool.zones.has(zone)) pool.zones.set(zone, { root: make("li", "zone"), name: make("b", "", zone ? `zone ${zone}` : "no zone"), part: make("span") });
        const head = pool.zones.get(zone), up = inside.filter((endpoint) => stateOf(endpoint)[1] === "well").length;
        if (!head.root.firstChild) head.root.append(head.name, head.part);
        say(head.part, `${up} of ${inside.length} up${all > 0 ? `; ${whole(sum(inside) / all)} of the requests` : ""}`);
        order.push(head.root);
      }
      for (const endpoint of inside) order.push(pool.rows.get(endpoint.name).root);
    }
    for (const [zone, head] of pool.zones) if (!grouped || !zones.includes(zone)) { head.root.remove(); pool.zones.delete(zone); }
    // Moved only when the order is another one: what somebody reads stays where it is.
    if (order.some((node, at) => pool.list.children[at] !== node)) pool.list.append(...order);
  }

  function drawPools() {
    const fleets = new Map(live.fleets.map((fleet) => [fleet.pool, fleet]));
    for (const { name, endpoints, queued, files } of live.pools) {
      const pool = pools.get(name) ?? makePool(name), fleet = fleets.get(name);
      const read = files ? `${rate(files.requests_per_s)} answers/s from files` : "";
      const wrong = (live.timeouts ?? []).filter((one) => one.of === `pool ${name}`);
      const waiting = (queued ? `; ${count(queued)} waiting` : "") + (wrong.length ? `; time-outs in the wrong order: ${wrong.length}` : "");
      pool.about.title = wrong.map((one) => one.text).join("\n");
      const serving = endpoints.filter((endpoint) => stateOf(endpoint)[1] === "well").length;
      say(pool.about, fleet
        ? `${serving} serving, ${fleet.wanted} wanted (${fleet.min} to ${fleet.max}); CPU ${whole(fleet.cpu_share)}, target ${whole(fleet.cpu_target)}${waiting}`
        : `${[endpoints.length || !files ? `${serving} of ${endpoints.length} up` : "", read].filter(Boolean).join("; ")}${waiting}`);
      pool.list.classList.toggle("no-cpu", !fleet);
      const there = new Set(endpoints.map((endpoint) => endpoint.name));
      for (const [gone, row] of pool.rows) if (!there.has(gone)) { row.root.remove(); pool.rows.delete(gone); }
      for (const endpoint of endpoints) drawRow(pool.rows.get(endpoint.name) ?? makeRow(pool, endpoint.name), endpoint, fleet?.cpu_target ?? null);
      drawZones(pool, endpoints);
    }
    for (const [name, pool] of pools) if (!live.pools.some((known_) => known_.name === name)) { pool.root.remove(); pools.delete(name); }
  }

  // ---- the lists

  function drawLog(list, entries, none) {
    const key = entries.map((entry) => `${entry.at}${entry.what}${entry.text}`).join("\n");
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(...entries.map(({ at, what, text }) => {
      const item = make("li"), stamp = make("time", "", time(at)), body = make("span");
      stamp.dateTime = new Date(at).toISOString();
      body.append(make("b", "", what), document.createTextNode(text));
      item.append(stamp, body);
      return item;
    }));
    if (!entries.length) list.append(make("li", "none", none));
  }

  /** "fleet shop: …" behind the word "fleet" would say it twice. */
  const without = (kind, text) => (text.startsWith(`${kind} `) ? text.slice(kind.length + 1) : text);

  // ---- the cache

  const several = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
  const sum = (values) => values.reduce((all, one) => all + one, 0);

  /** What there is to say of the cache: a word, and a text. */
  function factsOf({ memory, disk, compression, learning }) {
    const facts = [["in memory", `${several(memory.objects, "object")}, ${bytes(memory.bytes)} of ${bytes(memory.bytes_max)}`]];
    if (disk) {
      const troubles = [[disk.errors, "refused by the system"], [disk.damaged, "damaged"], [disk.writes_dropped, "not written in time"]];
      const trouble = troubles.filter(([times]) => times).map(([times, what]) => `; ${count(times)} ${what}`).join("");
      facts.push(["on disk", disk.on ? `${several(disk.objects, "object")}, ${bytes(disk.bytes)} of ${bytes(disk.bytes_max)}${trouble}` : "not in use: its directory cannot be used"]);
    }
    if (compression.made || compression.waiting) {
      const waiting = compression.waiting ? `; ${count(compression.waiting)} waiting` : "";
      facts.push(["compressed", `${several(compression.made, "text")}, ${bytes(compression.bytes_in - compression.bytes_out)} smaller${waiting}`]);
    }
    if (learning.observed) facts.push(["learned", `${several(learning.rules, "rule")} in force, ${count(sum(Object.values(learning.withdrawn)))} withdrawn`]);
    return facts;
  }

  function drawCache() {
    const cache = live.cache;
    if (!cache) return;
    const facts = factsOf(cache), key = facts.join("\n");
    if ($("cache").dataset.key !== key) {
      $("cache").dataset.key = key;
      $("cache").replaceChildren(...facts.flatMap(([word, text]) => [make("dt", "", word), make("dd", "", text)]));
    }
    const by = { admin: "command or API", request: "PURGE request", learning: "learned", route: "change" };
    const purges = cache.purges.map(({ at_unix_ms: at, by: who, what, why, soft, objects }) => ({
      at, what: by[who] ?? who, text: `${what}: ${several(objects, "object")}${soft ? " made stale" : ""}${why ? `; ${why}` : ""}` }));
    $("purges-panel").hidden = !purges.length;
    drawLog($("purges"), purges, "None yet.");
    askAdvice(cache.learning);
  }

  // What was learned costs the edge a look through all pages: asked for seldom, and only when there is some.
  const ADVICE_EVERY = 15_000;
  let advised = -Infinity;

  async function askAdvice(learning) {
    if (!learning.observed || performance.now() - advised < ADVICE_EVERY) return;
    advised = performance.now();
    try {
      const advice = await get("/api/cache/advice");
      drawRules(advice.rules.filter((rule) => rule.state !== "watching"), advice.rules.length);
    } catch {
      // Asked again later; what is shown is that of before.
    }
  }

  const RULE_TONES = { applied: "well", "would apply": "grows", withdrawn: "bad" };

  function drawRules(rules, looked) {
    $("rules-panel").hidden = !looked;
    say($("rules-about"), rules.length ? "" : `${several(looked, "kind")} of pages watched; not enough evidence yet`);
    $("rules").replaceChildren(...rules.map((rule) => {
      const item = make("li"), about = make("span", "phase"), saves = make("span", "number", percent(rule.saves_share));
      const why = rule.why ? `: ${rule.why}` : "";
      about.dataset.tone = RULE_TONES[rule.state] ?? "";
      about.append(make("i", "dot"), make("b", "", rule.state + why), make("span", "", `${count(rule.ruled)} of ${several(rule.seen, "URL")}, ${several(rule.visitors, "visitor")}, ${several(rule.samples, "answer")}`));
      const who = make("div");
      who.append(make("div", "name", rule.pages), about);
      saves.title = "of the time that endpoints work is saved by it";
      item.append(who, saves);
      return item;
    }));
  }

  function drawLogs() {
    const several = live.fleets.length > 1;
    const decisions = live.fleets.flatMap((fleet) => fleet.decisions.map(({ at_unix_ms: at, from, to, why }) =>
      ({ at, what: `${several ? `${fleet.pool} ` : ""}${from === to ? `stays at ${from}` : `${from} → ${to}`}`, text: why })));
    $("decisions-panel").hidden = !live.fleets.length;
    drawLog($("decisions"), decisions.sort((a, b) => b.at - a.at), "Nothing yet.");
    drawLog($("events"), live.events.map(({ at_unix_ms: at, kind, text }) => ({ at, what: kind, text: without(kind, text) })), "Nothing yet.");
  }

  function draw() {
    const { x, found } = seriesOf(COLUMNS);
    drawFigures(live.sample, found);
    drawCharts(x, found);
    drawPools();
    ladder.draw(live);
    notices.draw(live);
    drawCache();
    drawLogs();
    const edge = live.edges[0];
    say($("about"), `version ${live.version}; ${edge.up ? `edge up ${span(edge.uptime_s)}, ${bytes(edge.memory_held_bytes)} of ${bytes(edge.memory_max_bytes)} held` : "the edge is being started again"}${lookedUp(live.names)}`);
  }

  // ---- what is turned

  const THEMES = { Auto: "", Light: "light", Dark: "dark" };

  function theme(name) {
    say($("theme"), name);
    $("theme").setAttribute("aria-label", `${name}: colours`);
    if (THEMES[name]) document.documentElement.dataset.theme = THEMES[name];
    else delete document.documentElement.dataset.theme;
  }

  function remembered(value) {
    try {
      if (value) localStorage.setItem("theme", value);
      return localStorage.getItem("theme");
    } catch {
      return null; // Storage is switched off; then nothing is remembered.
    }
  }

  $("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf($("theme").textContent) + 1) % names.length];
    theme(next);
    remembered(next);
  });
  $("pause").addEventListener("click", () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    start();
  });
  for (const button of $("ranges").children) {
    button.addEventListener("click", () => {
      range = Number(button.dataset.range);
      for (const other of $("ranges").children) other.setAttribute("aria-pressed", String(other === button));
      points.clear();
      lastAt = 0;
      paused = false;
      $("pause").setAttribute("aria-pressed", "false");
      start();
    });
  }
  document.addEventListener("visibilitychange", start);

  const ladder = Ladder({ $, make, say, known, count, rate, span, clock, minute, get, ANSWER_MAX });
  const notices = Notices({ $, make, say, known, count, span });
  theme(Object.hasOwn(THEMES, remembered() ?? "") ? remembered() : "Auto");
  $("figures").append(...FIGURES.map(makeFigure));
  $("charts").append(...CHARTS.map(makeChart));
  start();
  setInterval(tell, 1000);
})();
