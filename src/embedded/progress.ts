/** Receives progress messages during a first start. */
export type OnProgress = (message: string) => void;
