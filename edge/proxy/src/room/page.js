(function () {
  var wait = REFRESH, ticket = "TICKET", title = document.title, told = Date.now(), left = ESTIMATE, words;
  if (!navigator.cookieEnabled) wait = Math.min(wait, 1000);
  function set(id, text) {
    var element = document.getElementById(id);
    if (!element) return;
    var row = element.parentNode;
    if (row && row.tagName === "DIV") row.hidden = !text;
    if ((text || !element.matches("dd")) && element.textContent !== text) element.textContent = text;
  }
  function show(text) {
    ["title", "message", "place", "estimate", "waiting", "keep"].forEach(function (part) {
      set("room-" + part, text[part]);
    });
    if (document.getElementById("room-title")) title = text.title;
    document.title = text.place ? text.place + " \u00b7 " + title : title;
  }
  /* Between two questions the time that is left is counted down here, in the words that it was told with. */
  function count() {
    var element = document.getElementById("room-estimate"), now = left - (Date.now() - told) / 1000;
    if (!element || !left || left < 60) return;
    words = words || element.textContent;
    var unit = left < 5400 ? 60 : left < 172800 ? 3600 : 86400;
    var many = unit === 60 ? Math.ceil(now / unit) : Math.round(now / unit);
    set("room-estimate", words.replace(/\d+/, Math.max(1, many)));
  }
  function later() {
    setTimeout(ask, wait * (0.9 + Math.random() * 0.2));
  }
  function ask() {
    fetch(location.pathname + location.search, {
      headers: { "Tentpole-Room": "page", "Tentpole-Ticket": ticket, Accept: "application/json" },
      cache: "no-store", credentials: "same-origin"
    }).then(function (answer) {
      if (answer.ok && !answer.headers.get("Tentpole-Room")) return { state: "inside" };
      return answer.json();
    }).then(function (room) {
      wait = room.refresh_seconds * 1000;
      ticket = room.ticket || ticket;
      if (room.state === "inside") {
        if (location.hash) location.reload();
        else location.replace(location.pathname + location.search);
        return;
      }
      told = Date.now();
      left = room.estimate_seconds;
      words = room.text.estimate;
      show(room.text);
      later();
    }).catch(function () {
      wait = Math.min(Math.max(wait, 5000) * 1.5, 120000);
      later();
    });
  }
  setInterval(count, 15000);
  later();
})();
