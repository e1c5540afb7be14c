// Draws the charts of a report from the figures that the page carries. Everything else stands there without it.
(() => {
  "use strict";
  const all = JSON.parse(document.getElementById("charts").textContent);
  for (const place of document.querySelectorAll("[data-chart]")) {
    const given = all[place.dataset.chart];
    const options = { ...given, xFormat: Charts[given.xFormat], yFormat: Charts[given.yFormat] };
    options.series = given.series.map((series) => ({
      ...series,
      values: series.values.map((value) => (value === "absent" ? undefined : value)),
    }));
    const chart = Charts.line(place, options);
    if (!given.logButton) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "log-button";
    button.textContent = "log scale";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      options.yLog = !options.yLog;
      button.setAttribute("aria-pressed", String(options.yLog));
      chart.update(options);
    });
    place.prepend(button);
  }
})();
