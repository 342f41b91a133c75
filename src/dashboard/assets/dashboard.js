// What pages can do beyond HTML: keys, a theme, picking rows, questions, ages that grow. All of it may be missing.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;

  /** Remembers a choice on this machine, where that is allowed. */
  const store = {
    get(key) {
      try {
        return localStorage.getItem(`firefly.${key}`);
      } catch {
        return null;
      }
    },
    set(key, value) {
      try {
        localStorage.setItem(`firefly.${key}`, value);
      } catch { /* not allowed */ }
    },
  };

  // Theme: that of the system, light or dark.
  const THEMES = ["system", "light", "dark"];
  const setTheme = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const button = $("#theme");
    if (button) {
      button.hidden = false;
      button.textContent = `Theme: ${theme}`;
    }
    store.set("theme", theme);
  };
  setTheme(THEMES.includes(store.get("theme")) ? store.get("theme") : "system");
  $("#theme")?.addEventListener("click", () => {
    setTheme(THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length]);
  });

  for (const element of all("[data-script]")) element.hidden = false;

  // Ages, by the clock of the database: it is that of the page plus the time since then.
  const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const formatAge = (seconds) => {
    const whole = Math.floor(Math.abs(seconds));
    if (whole < 1) return "now";
    const first = UNITS.findIndex(([, length]) => whole >= length);
    const [name, length] = UNITS[first];
    const [nextName, nextLength] = UNITS[first + 1] ?? ["", Infinity];
    const rest = Math.floor(whole % length / nextLength);
    const amount = `${Math.floor(whole / length)}${name}${rest > 0 ? ` ${rest}${nextName}` : ""}`;
    return seconds > 0 ? `${amount} ago` : `in ${amount}`;
  };
  const clock = {
    at: Date.parse($("#as-of time")?.dateTime ?? "") || Date.now(),
    since: performance.now(),
    set(time) {
      [clock.at, clock.since] = [Date.parse(time), performance.now()];
    },
    now: () => clock.at + performance.now() - clock.since,
  };
  const showAges = () => {
    for (const time of all("time[data-age]")) {
      time.textContent = formatAge((clock.now() - Date.parse(time.dateTime)) / 1000);
    }
  };
  setInterval(showAges, 10_000);

  // Picking rows.
  const bulk = $(".bulk"), every = $("thead .sel input");
  const boxes = () => all("tbody .sel input");
  const countPicked = () => {
    const picked = boxes().filter((box) => box.checked).length;
    for (const box of boxes()) box.closest("tr").classList.toggle("on", box.checked);
    if (every) {
      every.checked = picked > 0 && picked === boxes().length;
      every.indeterminate = picked > 0 && !every.checked;
    }
    if (!bulk) return;
    bulk.hidden = picked === 0;
    for (const text of all("[data-picked]", bulk)) text.textContent = `${picked} selected`;
  };
  if (every) every.closest("label").hidden = false;
  addEventListener("change", ({ target }) => {
    if (target === every) { for (const box of boxes()) box.checked = every.checked; }
    if (target.closest(".sel")) countPicked();
  });
  countPicked(); // a browser that goes back keeps what was picked

  // Questions: what a page asks is asked in a dialog over the list. Without this script it is a page.
  const prepare = (part) => {
    for (const input of all("input[data-word]", part)) {
      const button = $("[type=submit]", input.form);
      const check = () => button.disabled = input.value.trim() !== input.dataset.word;
      input.addEventListener("input", check);
      check();
    }
  };
  prepare(document);
  const addressOf = (opener) => {
    if (opener.href) return opener.href;
    const address = new URL(opener.getAttribute("formaction") ?? opener.form.getAttribute("action"), location.href);
    address.search = new URLSearchParams(new FormData(opener.form, opener)).toString();
    return address.href;
  };
  const ask = async (opener) => {
    const address = addressOf(opener);
    try {
      const response = await fetch(address, { headers: { accept: "text/html" } });
      const question = new DOMParser().parseFromString(await response.text(), "text/html").querySelector(".lone form");
      if (!response.ok || !question) throw new Error("no question");
      const dialog = document.createElement("dialog");
      const heading = $("h1, h2", question);
      dialog.setAttribute("aria-labelledby", heading.id);
      question.className = "ask";
      dialog.append(document.adoptNode(question));
      document.body.append(dialog);
      prepare(dialog);
      dialog.addEventListener("close", () => (dialog.remove(), opener.focus()));
      dialog.addEventListener("click", (event) => {
        if (!event.target.closest("[data-back]")) return;
        event.preventDefault();
        dialog.close();
      });
      dialog.showModal();
    } catch {
      location.href = address;
    }
  };
  addEventListener("click", (event) => {
    const opener = event.target.closest("[data-ask]");
    if (!opener || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    void ask(opener);
  });

  // Copying works only over https and on this machine.
  for (const button of navigator.clipboard ? all("[data-copy]") : []) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }

  // On a phone the tabs scroll: show the current one.
  for (const tab of all(".tabs [aria-current], .bar nav [aria-current]")) {
    tab.scrollIntoView({ block: "nearest", inline: "center" });
  }

  // Keys, unless they are switched off (WCAG 2.1.4) or a field has the focus.
  const rows = () => all("tr[data-href]");
  let current, before = "";
  const move = (step) => {
    const list = rows();
    const index = Math.min(list.length - 1, Math.max(0, list.indexOf(current) + step));
    if (!list[index]) return;
    current?.removeAttribute("aria-current");
    current = list[index];
    current.setAttribute("aria-current", "true");
    $("a", current)?.focus({ preventScroll: true });
    current.scrollIntoView({ block: "nearest" });
  };
  const KEYS = {
    "/": () => ($("#q") ?? $("#find"))?.focus(),
    j: () => move(1),
    k: () => move(-1),
    x: () => current && $(".sel input", current)?.click(),
    r: () => (bulk && !bulk.hidden ? $("[data-key=r]", bulk) : $("[data-key=r]"))?.click(),
    p: () => $("#pause:not([hidden])")?.click(),
    "?": () => $("#keys")?.showModal(),
  };
  const areOff = () => !("keys" in root.dataset) || store.get("keys") === "off";
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || areOff()) return;
    if ($("dialog[open]") || event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    const { key } = event;
    if (before === "g" && /^[a-z]$/.test(key)) $(`[data-go="${key}"]`)?.click();
    else if (key === "Enter" && current && !event.target.closest("a, button, summary")) {
      location.href = current.dataset.href;
    } else if (Object.hasOwn(KEYS, key)) {
      event.preventDefault();
      KEYS[key]();
    }
    before = key;
  });
  const keysOff = $("#keys-off");
  const showKeys = () => keysOff && (keysOff.textContent = areOff() ? "Switch keys on" : "Switch keys off");
  keysOff?.addEventListener("click", () => {
    store.set("keys", areOff() ? "on" : "off");
    showKeys();
  });
  showKeys();

  globalThis.firefly = { clock, showAges, countPicked };
})();
