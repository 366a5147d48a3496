// Replaces the page's content by what the server says, whenever it says so.
"use strict";
const live = document.getElementById("live");
const state = document.getElementById("state");
const events = new EventSource("events");
events.onmessage = (e) => {
  const folds = [...live.querySelectorAll("details")].map((d) => d.open);
  const news = JSON.parse(e.data);
  state.textContent = news.state;
  if (news.ended) events.close();
  if (news.body === undefined) return;
  live.innerHTML = news.body;
  const now = live.querySelectorAll("details");
  if (now.length === folds.length) now.forEach((d, i) => (d.open = folds[i]));
  document.title = news.title;
};
events.onerror = () => { state.textContent = "no connection: is barograph notebook watch still running?"; };
