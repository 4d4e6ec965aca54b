// Live without reloading: the page is asked for again, and what has changed of its live parts is put in place.
(function () {
  "use strict";

  var EVERY = 2000;

  function isRead() {
    var chosen = window.getSelection();
    return document.hidden || (chosen && !chosen.isCollapsed);
  }

  function take(text) {
    var fresh = new DOMParser().parseFromString(text, "text/html");
    document.querySelectorAll("[data-live]").forEach(function (part) {
      var newer = fresh.getElementById(part.id);
      if (newer && newer.innerHTML !== part.innerHTML) {
        var open = Array.from(part.querySelectorAll("details[open]"), function (each) { return each.id; });
        part.innerHTML = newer.innerHTML;
        open.forEach(function (id) {
          var again = document.getElementById(id);
          if (again) { again.open = true; }
        });
      }
      part.classList.toggle("tl-stale", !newer);
    });
  }

  function look() {
    if (isRead()) {
      window.setTimeout(look, EVERY);
      return;
    }
    fetch(window.location.href, {cache: "no-store"})
      .then(function (answer) {
        if (!answer.ok) { throw new Error(answer.status); }
        return answer.text();
      })
      .then(take)
      .catch(function () {
        document.querySelectorAll("[data-live]").forEach(function (part) { part.classList.add("tl-stale"); });
      })
      .then(function () { window.setTimeout(look, EVERY); });
  }

  document.addEventListener("DOMContentLoaded", function () {
    if (document.querySelector("[data-live]")) { window.setTimeout(look, EVERY); }
  });
})();
