// Makes the file's field a place to drop files on, and says before sending what the server would refuse after.
"use strict";
(function () {
  const form = document.querySelector("form[data-upload]");
  const place = form.querySelector("[data-drop]");
  const input = place.querySelector("input[type=file]");
  const problem = place.querySelector("[data-problem]");
  const button = form.querySelector("button[type=submit]");

  function check() {
    const file = input.files[0];
    let message = "";
    if (file && !/\.(csv|txt)$/i.test(file.name)) message = "The file is neither a .csv nor a .txt file.";
    else if (file && file.size > Number(input.dataset.limit)) message = "The file is too large.";
    else if (file && file.size === 0) message = "The file is empty.";
    problem.textContent = message;
    button.disabled = message !== "";
  }

  input.addEventListener("change", check);
  place.addEventListener("dragover", function (event) {
    event.preventDefault();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", function () { place.classList.remove("over"); });
  place.addEventListener("drop", function (event) {
    event.preventDefault();
    place.classList.remove("over");
    if (event.dataTransfer.files.length !== 1) {
      problem.textContent = "One file at a time.";
      return;
    }
    input.files = event.dataTransfer.files;
    check();
  });
  form.addEventListener("submit", function () {
    button.disabled = true;
    button.textContent = "Uploading …";
  });
  // Back to this page: the browser may show it as it was left.
  addEventListener("pageshow", function () {
    button.textContent = "Upload and preview";
    check();
  });
})();
