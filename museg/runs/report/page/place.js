"use strict";
// What is being looked at, kept in the address: #step=12&sample=298&completion=2&order=best&of=run&q=door
(() => {
  const DEFAULTS = { step: null, sample: null, draw: 0, completion: null, order: "worst", of: "step", q: "" };
  const NUMBERS = new Set(["step", "sample", "draw", "completion"]);
  const CHOICES = { order: ["worst", "best", "disputed"], of: ["step", "run"] };
  const listeners = [];
  let now = read();

  function read() {
    const place = { ...DEFAULTS };
    for (const [key, text] of new URLSearchParams(location.hash.slice(1))) {
      if (NUMBERS.has(key)) {
        if (/^\d{1,12}$/.test(text)) place[key] = Number(text);
      } else if (key in CHOICES) {
        if (CHOICES[key].includes(text)) place[key] = text;
      } else if (key === "q") place.q = text.slice(0, 500);
    }
    return place;
  }

  function address(place) {
    const words = Object.entries(place).filter(([key, value]) => value !== DEFAULTS[key] && value !== null);
    return "#" + new URLSearchParams(words).toString();
  }

  /** Whether the address names a place; `#learning` and the like name a section. */
  const names = () => location.hash.includes("=");

  report.place = {
    get now() {
      return now;
    },
    names,
    /** Address of the present place with changes. */
    link: (changes) => address({ ...now, ...changes }),
    /** Go elsewhere; all listeners hear of it. */
    go(changes) {
      now = { ...now, ...changes };
      // Few browsers refuse this for a file; the place is then only not in the address.
      try {
        history.replaceState(null, "", address(now));
      } catch {}
      for (const listener of listeners) listener(now);
    },
    onChange: (listener) => listeners.push(listener),
  };

  addEventListener("hashchange", () => {
    if (!names()) return;
    now = read();
    for (const listener of listeners) listener(now);
  });
})();
