// Before the page is drawn, so that it doesn't flash in the other theme.
(() => {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
