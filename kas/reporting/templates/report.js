"use strict";
(() => {
  document.documentElement.classList.add("js");
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // Figures name colours as var(--name); plotly wants the colours themselves.
  const painted = (value, style) => {
    if (typeof value === "string") {
      const name = /^var\((--[a-z]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => painted(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, painted(item, style)]));
    }
    return value;
  };
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    for (const [name, figure] of Object.entries(figures)) {
      const { data, layout } = painted(figure, style);
      layout.hoverlabel = { align: "left", bgcolor: style.getPropertyValue("--panel").trim(), bordercolor: style.getPropertyValue("--rule").trim(), font: { color: style.getPropertyValue("--ink").trim() } };
      Plotly.react("plot-" + name, data, layout, { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] });
    }
  };
  draw();
  dark.addEventListener("change", draw);

  const dialog = document.getElementById("drawing");
  for (const button of document.querySelectorAll("[data-picture]")) {
    button.addEventListener("click", () => {
      dialog.querySelector("img").src = button.querySelector("img").src;
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", () => dialog.close());

  // A page that came over plain http has no clipboard; a selection can be copied all the same.
  const copied = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  for (const button of document.querySelectorAll("[data-copy]")) {
    const label = button.textContent;
    button.addEventListener("click", async () => {
      button.textContent = (await copied(button.dataset.copy)) ? "Copied" : "Not copied";
      setTimeout(() => { button.textContent = label; }, 1500);
    });
  }

  const table = document.getElementById("trials");
  const body = table.tBodies[0];
  const key = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
  for (const button of table.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const compare = (a, b) => {
        const [x, y] = [key(a, head.cellIndex), key(b, head.cellIndex)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return down ? -order : order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  }
  const filter = document.getElementById("filter");
  const show = () => {
    for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(filter.value.toLowerCase());
  };
  filter.addEventListener("input", show);
  for (const link of document.querySelectorAll("a[href^='#trial-']")) {
    link.addEventListener("click", () => { filter.value = ""; show(); });  // its row may be hidden
  }
})();
