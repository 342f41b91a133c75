import { type CurrentInstance, defaultInstance, setDefaultInstance } from "../task/scope.ts";

/** The instances of tests that stand in for the default one, the last first. */
const standIns: CurrentInstance[] = [];
/** The default instance that they stand in for. */
let original: CurrentInstance | undefined;

/** Makes `instance` the default one. Returns a function that takes it back, in whatever order that is done. */
export function standInForDefault(instance: CurrentInstance): () => void {
  if (standIns.length === 0) original = defaultInstance();
  standIns.unshift(instance);
  setDefaultInstance(instance);
  return () => {
    const place = standIns.indexOf(instance);
    if (place < 0) return;
    standIns.splice(place, 1);
    if (defaultInstance() === instance) setDefaultInstance(standIns[0] ?? original);
    if (standIns.length === 0) original = undefined;
  };
}
