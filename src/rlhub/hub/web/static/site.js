// What every page has: light and dark, the secret that changes need, copying commands, and telling what went wrong.
const secret = document.querySelector("meta[name=rlhub-forgery]").content;

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

document.getElementById("theme").addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
});

document.addEventListener("htmx:config:request", (event) => {
  event.detail.ctx.request.headers["X-Rlhub-Forgery"] = secret;
});

let saying;
function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { place.textContent = ""; }, 6000);
}

document.addEventListener("htmx:error", () => say("The server didn’t answer. Is `rlhub serve` still running?"));

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    say("Copied.");
  } catch {
    say("This browser doesn’t let pages copy: select the text instead.");
  }
});
