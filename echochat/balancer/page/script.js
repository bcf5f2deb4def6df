// Takes what the server draws now in the place of what there is. Nothing that it says is ever run: a document that was
// parsed has no scripts.
"use strict";
const wait = 2000;
const state = document.getElementById("state");

async function look() {
  try {
    const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const drawn = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    // Whoever is selecting text would lose it.
    if (getSelection().type !== "Range") document.querySelector("main").replaceWith(document.adoptNode(drawn));
    state.textContent = "live";
    state.className = "";
  } catch {
    state.textContent = "the balancer does not answer: these are its last figures";
    state.className = "late";
  }
  setTimeout(look, wait);
}

setTimeout(look, wait);
