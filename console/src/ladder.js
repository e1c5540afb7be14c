// The ladder (how far down requests go) and the waiting rooms of the console. Draws what the admin API tells, leaves out what it
// does not tell, and asks for rooms itself. Needs charts.js beside it; console.js calls draw() with each new second.
const Ladder = (tools) => {
  "use strict";
  const { $, make, say, known, count, rate, span, clock, minute, get, ANSWER_MAX } = tools;
  const { number } = Charts;
  let live = null;

  /** From best to worst. What the API does not tell is not shown. */
  const RUNGS = {
    cache: { name: "from the cache", tone: "well", more: () => "fresh" },
    stale: { name: "stale", tone: "grows", more: () => "from the cache, while or because nothing newer is to be had" },
    endpoint: { name: "from endpoints", tone: "well", more: () => inFlight() },
    queue: { name: "after the queue", tone: "grows", more: () => waiting() },
    room: { name: "to the waiting room", tone: "leaves", more: () => "new visitors, until there is room", rare: true },
    overload: { name: "503", tone: "bad", more: () => "more than can be carried" },
  };
  const total = (of) => live.pools.map(of).filter(known).reduce((all, one) => all + one, 0);

  function inFlight() {
    const limits = live.pools.map((pool) => pool.limit), most = limits.length && limits.every(known) ? ` of ${count(total((pool) => pool.limit))}` : "";
    return `${count(total((pool) => pool.in_flight))}${most} in flight`;
  }

  const waiting = () => `${count(total((pool) => pool.queued))} of ${count(total((pool) => pool.queue_max))} wait now`;

  const rungs = new Map();

  function makeRung(step) {
    const rung = { root: make("li", "rung"), value: make("b", "value"), more: make("span", "more"), bar: make("span", "track"), fill: make("i") };
    rung.bar.setAttribute("aria-hidden", "true");
    rung.bar.append(rung.fill);
    rung.root.dataset.tone = RUNGS[step].tone;
    rung.root.append(rung.value, make("span", "what", RUNGS[step].name), rung.bar, rung.more);
    $("ladder").append(rung.root);
    rungs.set(step, rung);
    return rung;
  }

  function drawLadder() {
    const steps = (live.ladder?.steps ?? []).filter(({ step, per_s }) => RUNGS[step] && (!RUNGS[step].rare || per_s > 0 || rooms.size || rungs.has(step)));
    $("ladder-panel").hidden = !steps.length;
    if (!steps.length) return;
    const all = steps.reduce((sum, { per_s }) => sum + per_s, 0);
    for (const { step, per_s } of steps) {
      const rung = rungs.get(step) ?? makeRung(step);
      say(rung.value, rate(per_s));
      say(rung.more, RUNGS[step].more());
      rung.fill.style.width = `${all > 0 ? (per_s / all) * 100 : 0}%`;
      rung.root.classList.toggle("is-idle", !(per_s > 0));
    }
    const order = Object.keys(RUNGS).map((step) => rungs.get(step)?.root).filter(Boolean);
    if (order.some((node, at) => $("ladder").children[at] !== node)) $("ladder").append(...order);
    const denied = live.ladder.steps.find(({ step }) => step === "denied")?.per_s ?? 0;
    say($("ladder-about"), denied > 0 ? `and ${rate(denied)}/s refused for what they are` : "");
    drawCounts("priorities", (live.ladder.priorities ?? []).map((one) => [one.priority, `${rate(one.per_s)}/s`, byStep(one.steps ?? []), one.steps?.some(({ step }) => step === "overload")]));
    drawCounts("reasons", (live.ladder.refused ?? []).filter((one) => one.total > 0).map((one) => [one.reason.replaceAll("_", " "), `${rate(one.per_s)}/s`, `${count(one.total)} so far`, one.overload && one.per_s > 0]));
    drawCounts("clients", (live.ladder.clients ?? []).map((one) => [one.address, count(one.refused), one.filter ?? ""]));
  }

  /** Where those of a rank stand, but for those whom an endpoint served at once. */
  const byStep = (steps) => steps.filter(({ step }) => step !== "endpoint" && RUNGS[step]).map(({ step, per_s }) => `${rate(per_s)}/s ${RUNGS[step].name}`).join(", ");

  /** Words with a number each; the part is hidden while there are none. */
  function drawCounts(name, rows) {
    $(`${name}-part`).hidden = !rows.length;
    const list = $(name), key = JSON.stringify(rows);
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(...rows.map(([word, value, more, bad]) => {
      const item = make("li"), who = make("span", "", word);
      if (more) who.append(make("small", "", more));
      item.append(who, make("b", bad ? "bad" : "", value));
      return item;
    }));
  }

  // ---- waiting rooms

  const ROOMS_EVERY = 2_000; // ms
  const DOORS = {
    open: ["open", "well"], closed: ["closed: nobody comes in", "bad"], early: ["not open yet; who is here takes part in a draw", "grows"],
    over: ["over: nobody comes in any more", "bad"], off: ["switched off: all come in", "leaves"],
  };
  /** What is not said here is as it should be. */
  const KEPT = {
    late: () => "Nobody comes in until it is written down: the state directory is slow.",
    fails: (why) => `Cannot be written down, so a crash forgets who is inside: ${why ?? "the state directory fails"}`,
  };
  const TURNS = { open: "Open", close: "Close", auto: "As configured" };
  const rooms = new Map();
  let roomsAsked = -Infinity;

  async function askRooms() {
    if (!live.rooms && !rooms.size) return;
    if (performance.now() - roomsAsked < ROOMS_EVERY) return;
    roomsAsked = performance.now();
    try {
      drawRooms((await get("/api/rooms")).rooms ?? []);
    } catch {
      // The edge is away: what is shown is that of before.
    }
  }

  /** Without something to do of its own it is the one of its line. */
  function button(text, act) {
    const element = make("button", "button", text);
    element.type = act ? "button" : "submit";
    if (act) element.addEventListener("click", act);
    return element;
  }

  function amount(name, value = "") {
    const element = Object.assign(make("input"), { type: "number", min: 1, max: 1_000_000, step: 1, value });
    element.setAttribute("aria-label", name);
    return element;
  }

  /** What was typed; nothing when it is no number of visitors. */
  const whole = (input) => (input.value && input.checkValidity() ? Number(input.value) : undefined);

  /** A button with what belongs to it; the Enter key does it too. */
  function line(parts, act) {
    const form = make("form", "line");
    form.append(...parts.map((part) => (typeof part === "string" ? make("span", "", part) : part)));
    form.addEventListener("submit", (event) => { event.preventDefault(); act(); });
    return form;
  }

  function makeRoom(name) {
    const room = { root: make("section", "panel room"), phase: make("span", "phase"), word: make("b"), facts: make("dl", "facts"), kept: make("p", "kept"), said: make("p", "quiet"), place: make("div"), told: {} };
    const head = make("div", "head"), title = make("h2", "", `Waiting room ${name}`), acts = make("div", "acts"), many = amount("How many more", 50);
    many.required = true;
    title.id = `room-${name}`;
    room.root.setAttribute("aria-labelledby", title.id);
    room.phase.append(make("i", "dot"), room.word);
    head.append(title, room.phase);
    room.limits = { active: amount("At most inside"), entries_per_minute: amount("At most in a minute") };
    const more = line([button("Let in"), many, "more"], () => order(name, { let_in: whole(many) }));
    const limits = line([button("Limit"), room.limits.active, "inside,", room.limits.entries_per_minute, "a minute"], () => limit(name));
    acts.append(limits, more, ...Object.entries(TURNS).map(([doors, word]) => button(word, () => order(name, { doors }))));
    room.said.setAttribute("role", "status");
    const turned = make("div", "turned");
    turned.append(room.facts, room.kept, acts, room.said);
    room.root.append(head, turned, room.place);
    $("rooms").append(room.root);
    rooms.set(name, room);
    return room;
  }

  const ofMost = (value, most) => `${count(value)}${known(most) ? ` of ${count(most)}` : ""}`;

  function drawRooms(all) {
    for (const told of all) {
      const room = rooms.get(told.room) ?? makeRoom(told.room), [word, tone] = DOORS[told.doors] ?? [told.doors ?? "–", ""];
      say(room.word, word);
      room.phase.dataset.tone = tone;
      const facts = [
        ["inside", ofMost(told.active, told.active_max)], ["waiting", `${count(told.waiting)}${told.waiting > 0 && known(told.estimate_seconds) ? `; the last one about ${span(told.estimate_seconds)}` : ""}`],
        ["came in, last minute", ofMost(told.entries_last_minute, told.entries_per_minute)], ["endpoints that carry it", count(told.healthy_endpoints)],
      ];
      if (told.copied_tickets > 0) facts.push(["copied tickets refused", count(told.copied_tickets)]);
      say(room.kept, KEPT[told.kept]?.(told.kept_error) ?? "");
      showLimits(room, told);
      const key = facts.join("\n");
      if (room.facts.dataset.key !== key) {
        room.facts.dataset.key = key;
        room.facts.replaceChildren(...facts.flatMap(([name, text]) => [make("dt", "", name), make("dd", "", text)]));
      }
      drawRoomChart(room, told);
    }
    for (const [name, room] of rooms) if (!all.some((told) => told.room === name)) { room.root.remove(); rooms.delete(name); }
  }

  /** What holds stands in its field, but for the one in which somebody types, or has typed. */
  function showLimits(room, told) {
    const holds = { active: told.active_max, entries_per_minute: told.entries_per_minute };
    for (const [of, input] of Object.entries(room.limits)) {
      if (input === document.activeElement) continue;
      const text = known(holds[of]) ? String(holds[of]) : "";
      if (input.value === (room.told[of] ?? "")) input.value = text;
      input.placeholder = text ? "" : "any";
      room.told[of] = text;
    }
  }

  /** Sets the limits that are others than those that hold. */
  function limit(name) {
    const room = rooms.get(name), wish = {};
    for (const [of, input] of Object.entries(room.limits)) if (input.value !== room.told[of] && known(whole(input))) wish[of] = whole(input);
    if (Object.keys(wish).length) order(name, wish);
    else say(room.said, "These limits hold already.");
  }

  function drawRoomChart(room, { room: name, history = [], active_max: most }) {
    room.place.hidden = history.length < 2;
    if (room.place.hidden) return;
    const x = history.map((point) => point.at_unix_ms / 1000), column = (of) => history.map((point) => point[of] ?? null);
    const options = {
      x, series: [{ name: "waiting", values: column("waiting"), tone: "2" }, { name: "inside", values: column("active"), tone: "3" }],
      // Five minutes at least; a short time says its seconds, for no moment is to stand there twice.
      xMin: Math.min(x[0], x.at(-1) - 300), xTime: true, xFormat: clock, xTick: x.at(-1) - x[0] > 900 ? minute : clock, yFormat: number, yWhole: true, height: 150, label: `Waiting room ${name}, last hour`, noValue: "no value",
      marks: known(most) ? [{ y: most, label: `at most ${count(most)} inside`, tone: "muted" }] : [],
    };
    if (room.drawn) room.drawn.update(options);
    else room.drawn = Charts.line(room.place, options);
  }

  function done(wish) {
    if (wish.let_in) return `${count(wish.let_in)} more are let in.`;
    if (wish.doors) return { open: "The doors are open.", close: "The doors are closed.", auto: "As configured again." }[wish.doors];
    const said = [known(wish.active) && `${count(wish.active)} inside`, known(wish.entries_per_minute) && `${count(wish.entries_per_minute)} in a minute`];
    return `At most ${said.filter(Boolean).join(", ")} from now on.`;
  }

  /** What an operator wants of a room. What came of it is said below its buttons. */
  async function order(name, wish) {
    const room = rooms.get(name);
    say(room.said, "…");
    try {
      const answer = await fetch(`/api/rooms/${encodeURIComponent(name)}`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish), signal: AbortSignal.timeout(ANSWER_MAX) });
      const told = await answer.json().catch(() => ({}));
      if (!answer.ok) throw new Error([told.error, told.cure].filter(Boolean).join(". ") || `status ${answer.status}`);
      say(room.said, done(wish));
      // What holds now is shown, whatever stood there.
      for (const [of, input] of Object.entries(room.limits)) room.told[of] = input.value;
      roomsAsked = -Infinity;
      askRooms();
    } catch (error) {
      say(room.said, `Not done: ${error.message}`);
    }
  }

  /** Shows a second. */
  function draw(now) {
    live = now;
    askRooms();
    drawLadder();
  }

  return { draw };
};
