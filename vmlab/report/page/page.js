"use strict";
(() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const runs = all(".run");
  const cells = all(".cell");
  const search = one("#search"), deep = one("#deep"), shown = one("#shown");
  const texts = new Map(), consoles = new Map();

  const lower = (known, run, make) => {
    if (!known.has(run)) known.set(run, make(run).toLowerCase());
    return known.get(run);
  };
  const outside = (run) => {
    const parts = all("summary, dl.verdict, .crash, .steps code", run);
    return parts.map((part) => part.textContent).join("\n");
  };
  const inside = (run) => all(".console", run).map((part) => part.textContent).join("\n");
  const visible = () => runs.filter((run) => run.offsetParent !== null);

  function count() {
    const left = visible().length;
    shown.textContent = left ? `${left} of ${runs.length} runs` : "no run has that";
  }

  function apply() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = new Set();
    for (const run of runs) {
      const text = lower(texts, run, outside) + (deep.checked ? lower(consoles, run, inside) : "");
      const fits = words.every((word) => text.includes(word));
      run.classList.toggle("off", !fits);
      if (fits) kept.add(run.dataset.run);
    }
    for (const cell of cells) cell.classList.toggle("off", !kept.has(cell.dataset.run));
    count();
    paint();
  }

  // What was searched for is painted in the runs that are open.
  function paint() {
    if (!window.Highlight) return;
    CSS.highlights.delete("found");
    const words = search.value.toLowerCase().split(/\s+/).filter((word) => word.length > 1);
    const ranges = [];
    for (const run of words.length ? visible().filter((run) => run.open) : []) {
      const walk = document.createTreeWalker(run, NodeFilter.SHOW_TEXT);
      while (walk.nextNode() && ranges.length < 2000) {
        const text = walk.currentNode.data.toLowerCase();
        for (const word of words) {
          for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
            if (at + word.length > walk.currentNode.length) break;
            const range = new Range();
            range.setStart(walk.currentNode, at);
            range.setEnd(walk.currentNode, at + word.length);
            ranges.push(range);
          }
        }
      }
    }
    if (ranges.length) CSS.highlights.set("found", new Highlight(...ranges));
  }

  function reveal() {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    const run = target && target.closest(".run");
    if (!run) return;
    run.open = true;
    target.scrollIntoView({ block: "nearest" });
    if (target.classList.contains("body")) {
      run.firstElementChild.focus({ preventScroll: true });
      run.scrollIntoView();
    }
  }

  // A console begins where it went wrong, the first time that its run is opened.
  const led = new WeakSet();
  function lead(run) {
    if (!run.open || led.has(run)) return;
    led.add(run);
    const bad = run.querySelector("mark.crashed") ||
      run.querySelector(".console i:is(.failed, .crashed, .timeout, .broken)");
    const box = bad && bad.closest(".console");
    if (box) box.scrollTop += bad.getBoundingClientRect().top - box.getBoundingClientRect().top - 120;
  }

  function step(by) {
    const list = visible();
    const here = list.indexOf(document.activeElement.closest(".run"));
    const next = here < 0 ? list[by > 0 ? 0 : list.length - 1] : list[here + by];
    if (next) next.firstElementChild.focus();
  }

  const keys = {
    "/": () => search.focus(),
    j: () => step(1),
    k: () => step(-1),
    x: () => runs.forEach((run) => { run.open = false; }),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === search) {
      if (event.key === "Escape") { search.value = ""; apply(); search.blur(); }
      return;
    }
    if (!keys[event.key] || event.target.matches("input[type=text]")) return;
    event.preventDefault();
    keys[event.key]();
  });

  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(apply, 120); });
  deep.addEventListener("change", apply);
  all(".filter input").forEach((box) => box.addEventListener("change", count));
  runs.forEach((run) => run.addEventListener("toggle", () => {
    lead(run);
    if (search.value) paint();
  }));
  window.addEventListener("hashchange", reveal);

  for (const code of all("code.copy")) {
    const button = document.createElement("button");
    button.className = "copier";
    button.textContent = "copy";
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(code);
      try { await navigator.clipboard.writeText(code.textContent); } catch { document.execCommand("copy"); }
      button.textContent = "copied";
    });
    code.after(button);
  }
  one(".search").hidden = false;
  count();
  runs.forEach(lead);
  reveal();
})();
