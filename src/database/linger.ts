/** How many milliseconds an unused connection keeps the process from ending: to let it end takes time at each use. */
export const LINGER = 50;
