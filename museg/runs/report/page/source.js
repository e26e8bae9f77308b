"use strict";
// Where the page's data come from: its own blocks, or the server of a live report.
var report = {};

(() => {
  const live = document.body.dataset.live === "yes";
  const kept = new Map();
  const MAX_KEPT = 60;

  async function unpacked(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  async function fetched(path) {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
    return answer.json();
  }

  /** What `make` makes, kept; the longest unused of too many are let go. */
  function remembered(name, make) {
    const value = kept.get(name) ?? make();
    kept.delete(name);
    kept.set(name, value);
    if (kept.size > MAX_KEPT) kept.delete(kept.keys().next().value);
    return value;
  }

  function block(name) {
    return document.getElementById(name)?.textContent ?? null;
  }

  let tag = "";

  report.source = {
    live,

    /** `{index, overview}`; null where nothing has changed since the last time. */
    async state() {
      if (!live) return { index: await unpacked(block("index")), overview: null };
      const answer = await fetch("state", { headers: { "If-None-Match": tag } });
      if (answer.status === 304) return null;
      if (!answer.ok) throw new Error(await answer.text());
      tag = answer.headers.get("ETag");
      kept.clear();
      return answer.json();
    },

    /** A step's completions as columns; see museg/runs/report/step_pack.py. */
    step(step) {
      const make = () => (live ? fetched(`step/${step}`) : unpacked(block(`step-${step}`)));
      return remembered(`step-${step}`, make);
    },

    /** Address of a strip of pictures of a video, null where there is none. */
    strip(video) {
      if (live) return `video/${video}`;
      const jpeg = block(`video-${video}`);
      return jpeg && `data:image/jpeg;base64,${jpeg}`;
    },
  };
})();
