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

  // What is ticked in a folder stays ticked while the reader looks into others of the same set.
  function tick() {
    var elsewhere = document.getElementById("elsewhere");
    if (!elsewhere) { return; }
    var form = document.getElementById("tick");
    var key = "tapeline-ticked-" + elsewhere.dataset.set;
    var ticked = new Set(JSON.parse(window.sessionStorage.getItem(key) || "[]"));
    var boxes = Array.from(form.querySelectorAll("input[type=checkbox][name=path]"));

    function refresh() {
      form.querySelectorAll("input[data-elsewhere]").forEach(function (each) { each.remove(); });
      var here = new Set(boxes.map(function (box) { return box.value; }));
      var others = Array.from(ticked).filter(function (path) { return !here.has(path); });
      others.forEach(function (path) {
        var field = document.createElement("input");
        field.type = "hidden";
        field.name = "path";
        field.value = path;
        field.dataset.elsewhere = "";
        form.append(field);
      });
      elsewhere.hidden = !others.length;
      elsewhere.querySelector("span").textContent = elsewhere.dataset.text + " " + others.join(", ");
      window.sessionStorage.setItem(key, JSON.stringify(Array.from(ticked)));
    }

    boxes.forEach(function (box) {
      box.checked = ticked.has(box.value);
      box.addEventListener("change", function () {
        if (box.checked) { ticked.add(box.value); } else { ticked.delete(box.value); }
        refresh();
      });
    });
    elsewhere.querySelector("button").addEventListener("click", function () {
      var here = boxes.filter(function (box) { return box.checked; });
      ticked = new Set(here.map(function (box) { return box.value; }));
      refresh();
    });
    refresh();
  }

  // Back on a page that the browser kept, or whose fields it has filled in again.
  window.addEventListener("pageshow", function (event) {
    var choice = document.querySelector("[data-chooses]");
    if (choice) { fit(choice); }
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
    tick();
    wait();
  });
})();
