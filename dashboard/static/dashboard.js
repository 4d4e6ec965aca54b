// Live without reloading: the page is asked for again, and what has changed of its live parts is put in place.
(function () {
  "use strict";

  var PATIENCE = 30000;

  function isRead() {
    var chosen = window.getSelection();
    return document.hidden || (chosen && !chosen.isCollapsed);
  }

  // What the reader opened stays open, and the focus stays where it was.
  function put(part, newer) {
    var open = Array.from(part.querySelectorAll("details[open]"), function (each) { return each.id; });
    var focused = part.contains(document.activeElement) ? document.activeElement : null;
    var place = focused ? Array.from(part.querySelectorAll("a, summary")).indexOf(focused) : -1;
    part.innerHTML = newer.innerHTML;
    open.forEach(function (id) {
      var again = document.getElementById(id);
      if (again) { again.open = true; }
    });
    var next = place < 0 ? null : part.querySelectorAll("a, summary")[place];
    if (next) { next.focus({preventScroll: true}); }
  }

  function take(text) {
    var fresh = new DOMParser().parseFromString(text, "text/html");
    document.querySelectorAll("[data-live]").forEach(function (part) {
      var newer = fresh.getElementById(part.id);
      if (!newer) { throw new Error("another page"); }
      part.dataset.live = newer.dataset.live;
      // What the reader opened is no difference.
      var seen = part.innerHTML.replace(/ open=""/g, "");
      if (newer.innerHTML !== seen) { put(part, newer); }
    });
  }

  function show(isSilent) {
    document.getElementById("silent").hidden = !isSilent;
    document.querySelectorAll("[data-live]").forEach(function (part) {
      part.classList.toggle("tl-stale", isSilent);
    });
  }

  function wait() {
    var part = document.querySelector("[data-live]");
    if (part) { window.setTimeout(look, Number(part.dataset.live)); }
  }

  function look() {
    if (isRead()) { return wait(); }
    fetch(window.location.href, {cache: "no-store", signal: AbortSignal.timeout(PATIENCE)})
      .then(function (answer) {
        if (!answer.ok) { throw new Error(answer.status); }
        return answer.text();
      })
      .then(take)
      .then(function () { show(false); }, function () { show(true); })
      .then(wait);
  }

  // A button that is pressed twice is pressed once.
  function once(event) {
    event.target.querySelectorAll("button").forEach(function (button) { button.disabled = true; });
  }

  // Back on a page that the browser kept.
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) { document.querySelectorAll("button").forEach(function (each) { each.disabled = false; }); }
  });

  // Of the fields of "when", those that the chosen type has; the others are not sent.
  function fit(choice) {
    document.querySelectorAll("[data-types]").forEach(function (field) {
      var isOf = field.dataset.types.split(" ").indexOf(choice.value) >= 0;
      field.hidden = !isOf;
      field.querySelectorAll("input, select").forEach(function (each) { each.disabled = !isOf; });
    });
  }

  document.addEventListener("DOMContentLoaded", function () {
    var choice = document.querySelector("[data-chooses]");
    if (choice) {
      choice.addEventListener("change", function () { fit(choice); });
      fit(choice);
    }
    document.querySelectorAll("form[method=post]").forEach(function (form) {
      form.addEventListener("submit", once);
    });
    wait();
  });
})();
