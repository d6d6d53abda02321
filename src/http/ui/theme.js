// Runs before the first paint, so that a chosen theme does not flash. The choice is all that this page keeps on the machine.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("standpipe-theme");
  } catch {
    // Storage is refused: the system's theme it is.
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
